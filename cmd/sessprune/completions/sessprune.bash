# Completion of sessprune for bash, made from its flags by go generate.

_sessprune() {
	local word=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} words=
	if [[ $word == = ]]; then
		word=
	elif [[ $flag == = ]]; then
		flag=${COMP_WORDS[COMP_CWORD-2]}
	fi
	COMPREPLY=()
	case $flag in
	--corrupt) words='keep delete' ;;
	--metrics-file) compopt +o dirnames -o default 2>/dev/null; return 0 ;;
	--progress) words='auto always never' ;;
	--idle-timeout|--lifetime|--template|--limit|--time-budget|--rate) ;;
	*)
		[[ $word == -* ]] || return 0
		words='--idle-timeout --lifetime --exact --template -n --dry-run --report --corrupt --limit --time-budget --rate --json --metrics-file --progress -v --verbose -q --quiet --version -h --help'
		;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$word"))
	compopt +o dirnames 2>/dev/null
	return 0
}
complete -o dirnames -F _sessprune sessprune
