-- Walks through all keys to end all sessions, which a renewal could pass.
-- KEYS  1 the gate, a hash: until when each walk is trusted to go on, and "last", the end of the last.
-- ARGV  1 the step:
--   walk   2 the walk: it goes on. Returns 1.
--   done   2 the walk. Returns 1.
--   check  2 when a renewal was carried out, in milliseconds. Returns 1 when none may have passed it.
local gate, step, walk = KEYS[1], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local trust, skew, memory = 30000, 5000, 3600000
if step == 'walk' then
	redis.call('HSET', gate, walk, string.format('%.0f', now + trust))
elseif step == 'done' then
	redis.call('HDEL', gate, walk)
	redis.call('HSET', gate, 'last', string.format('%.0f', now))
else
	local list = redis.call('HGETALL', gate)
	for i = 1, #list, 2 do
		local at = tonumber(list[i + 1])
		if list[i] == 'last' and at >= walk - skew or list[i] ~= 'last' and at >= now then return 0 end
	end
	return 1
end
redis.call('PEXPIRE', gate, memory)
return 1
