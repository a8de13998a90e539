-- The index of an owner: a hash of the keys of the owner's sessions, without the prefix, each with
-- when it was entered and until when it may live, in milliseconds, 0 for ever; before
-- that x when it was ended. The field "ended" is when all were ended last.
-- KEYS  1 the index. ARGV  1 the step:
--   enter    2 the new key; 3 the one that it takes the place of, '' for a login; 4 the
--            lifetime, 0 for none; 5 how many sessions the owner may have, 0 for any number. Returns
--            until when the session may live, 0 for ever, the time in microseconds, and the field
--            "ended", or ''; -1 when the session was ended. A login beyond the number is not
--            entered: it returns -1, the time, '', and the keys and entries of the others, in turn.
--   confirm  2 and 3 as before. Returns 1, or -1 when it was ended since.
--   end      2… the public IDs to keep. Returns the time, and the keys of the others.
--   endone   2 its public ID. Returns the time, and its key if there is one.
--   tidy     2… keys and entries, in turn, which are removed if they are still the same. Returns 1.
local index, step, new, old = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local day = 86400000
local function number(n) return string.format('%.0f', n) end
local function alive(key)
	local v = redis.call('HGET', index, key)
	return v and string.sub(v, 1, 1) ~= 'x'
end

-- Lets the index live at least that long; 0 is for ever.
local function prolong(there, till)
	local left = redis.call('PTTL', index)
	if till == 0 or (there and left == -1) then
		redis.call('PERSIST', index)
	else
		redis.call('PEXPIREAT', index, number(math.max(now + left, till)))
	end
end

-- Ends the sessions for which f is true, and returns their keys.
local function ends(f)
	local keys, list = {number(micros)}, redis.call('HGETALL', index)
	for i = 1, #list, 2 do
		local key, v = list[i], list[i + 1]
		if key ~= 'ended' and f(string.sub(key, -64)) then
			keys[#keys + 1] = key
			if string.sub(v, 1, 1) ~= 'x' then redis.call('HSET', index, key, 'x' .. v) end
		end
	end
	return keys
end

if step == 'enter' then
	local lifetime = tonumber(ARGV[4])
	if old ~= '' and not alive(old) then return -1 end
	local there, list = redis.call('EXISTS', index) == 1, redis.call('HGETALL', index)
	for i = 1, #list, 2 do -- a day for clocks that differ
		local till = tonumber(string.match(list[i + 1], ' (%d+)$') or 0)
		if list[i] ~= 'ended' and till > 0 and till + day < now then redis.call('HDEL', index, list[i]) end
	end
	if old == '' and tonumber(ARGV[5]) > 0 then
		local others = {-1, micros, ''}
		for i = 1, #list, 2 do
			if list[i] ~= 'ended' and list[i] ~= new and string.sub(list[i + 1], 1, 1) ~= 'x' then
				others[#others + 1] = list[i]
				others[#others + 1] = list[i + 1]
			end
		end
		if (#others - 3) / 2 >= tonumber(ARGV[5]) then return others end
	end
	local till = lifetime > 0 and now + lifetime or 0
	redis.call('HSET', index, new, number(now) .. ' ' .. number(till))
	prolong(there, till > 0 and till + day or 0)
	return {till, micros, redis.call('HGET', index, 'ended') or ''}
elseif step == 'confirm' then
	if not alive(new) then return -1 end
	if old ~= '' and old ~= new then redis.call('HDEL', index, old) end
	return 1
elseif step == 'end' then
	local keep = {}
	for i = 2, #ARGV do keep[ARGV[i]] = true end
	local there = redis.call('EXISTS', index) == 1
	redis.call('HSET', index, 'ended', number(micros) .. ' ' .. table.concat(ARGV, ' ', 2))
	prolong(there, now + day)
	return ends(function(id) return not keep[id] end)
elseif step == 'endone' then
	return ends(function(id) return id == new end)
elseif step == 'tidy' then
	for i = 2, #ARGV, 2 do
		if redis.call('HGET', index, ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', index, ARGV[i]) end
	end
	return 1
end
