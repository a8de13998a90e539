-- Ends a session if it is that owner's.
-- KEYS  1 the session. ARGV  1 the field that tells; 2 its text for the owner. Returns how many were ended, 0 or 1.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1])
