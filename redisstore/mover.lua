-- Passes a session on to another store.
-- KEYS  1 the session; 2 its lock, which ends by itself.
-- ARGV  1 the step; 2 a token of who has the lock:
--   take   3 milliseconds. Returns all fields; 0 when another has the lock; -1 when there is no session.
--   end    3 the version that was passed on. Returns 1 when the session was ended; 0 when it was
--          changed or ended by others; -1 when the lock was lost.
--   leave  Returns 1.
--       4 of end: r when the request is repeated.
local key, lock, step, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if step == 'take' then
	if redis.call('EXISTS', key) == 0 then return -1 end
	local mine = redis.call('GET', lock) == token -- the request is repeated
	if not mine and not redis.call('SET', lock, token, 'NX', 'PX', ARGV[3]) then return 0 end
	return redis.call('HGETALL', key)
end
local has = redis.call('GET', lock) == token
if has then redis.call('DEL', lock) end
if step == 'leave' then return 1 end
if not has then -- a repeated request may have been carried out
	return ARGV[4] == 'r' and redis.call('EXISTS', key) == 0 and 1 or -1
end
local v = redis.call('HGET', key, 'v')
if v and string.match(v, ' (%S*)') == ARGV[3] then return redis.call('DEL', key) end
return 0
