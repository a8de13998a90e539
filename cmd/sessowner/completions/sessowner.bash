# Completion of sessowner for bash, made from its flags by go generate.

_sessowner() {
	local word=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} words=
	if [[ $word == = ]]; then
		word=
	elif [[ $flag == = ]]; then
		flag=${COMP_WORDS[COMP_CWORD-2]}
	fi
	COMPREPLY=()
	case $flag in
	--owner-file) compopt +o dirnames -o default 2>/dev/null; return 0 ;;
	--keys-file) compopt +o dirnames -o default 2>/dev/null; return 0 ;;
	--owner|--session|--keep|--template|--audience) ;;
	*)
		[[ $word == -* ]] || return 0
		words='--owner --owner-file --end --session --keep -n --dry-run --template --keys-file --audience --json -q --quiet --version -h --help'
		;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$word"))
	compopt +o dirnames 2>/dev/null
	return 0
}
complete -o dirnames -F _sessowner sessowner
