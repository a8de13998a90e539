-- Puts the same record in place, sealed under another key.
-- KEYS  1 the session. ARGV  1 its version; 2 the sealed record.
local v = redis.call('HGET', KEYS[1], 'v')
if v and string.match(v, ' (%S*)') == ARGV[1] then redis.call('HSET', KEYS[1], 'd', ARGV[2]) end
return 1
