-- The one round trip of a request. Follows rate_limit.lua.
--
-- KEYS  rate window [, session facts, organization changed, revoked sid [, revoked jti]]
-- ARGV  amount, span in microseconds
-- Returns what take() returns, then 1 if revoked, then the facts ('' is a tombstone) or nil.

local revoked = 0
if KEYS[4] then revoked = math.min(redis.call('EXISTS', unpack(KEYS, 4)), 1) end

local reply = take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), now(), revoked == 0)
reply[4] = revoked
-- A nil would end the reply here; false becomes nil on the way.
reply[5] = KEYS[2] and redis.call('EXISTS', KEYS[3]) == 0 and redis.call('GET', KEYS[2]) or false
return reply
