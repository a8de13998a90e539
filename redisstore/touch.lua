-- Restarts the idle timeout of a session.
-- KEYS  1 the session.
-- ARGV  1 the interval, in milliseconds, within which that is not done again;
--       2, 3 the store's idle timeout and lifetime, in milliseconds, 0 for none;
--       4 whether the sealed record is asked for: d or ''.
-- Returns 1 when it did, or {version, sealed record}; 0 when it was done within the interval;
-- -1 when nothing is stored; -2 when the key holds no session.
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was = redis.call('HMGET', key, 'v', 's', 'i', 'l', 'e')
if not was[1] or not was[2] then return -1 - redis.call('EXISTS', key) end
local used, versions = string.match(was[1], '^(%d+)(.*)')
if now - used < tonumber(ARGV[1]) then return 0 end
local ends = tonumber(was[5] or math.huge)
local idle, lifetime = tonumber(was[3] or ARGV[2]), tonumber(was[4] or ARGV[3])
if idle > 0 then ends = math.min(ends, now + idle) end
if lifetime > 0 then ends = math.min(ends, tonumber(string.match(was[2], '%d+$')) + lifetime) end
if ends <= now then
	redis.call('DEL', key)
	return -1
end
redis.call('HSET', key, 'v', string.format('%.0f', now) .. versions)
if ends < math.huge then
	redis.call('PEXPIREAT', key, string.format('%.0f', ends))
else
	redis.call('PERSIST', key)
end
local sealed = ARGV[4] == 'd' and redis.call('HGET', key, 'd')
return sealed and {string.match(versions, '%S+'), sealed} or 1
