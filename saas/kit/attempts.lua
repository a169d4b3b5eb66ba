-- Failures of one key and the block they earn.
--
-- KEYS  failures, block
-- ARGV  'before', 'failure' or 'success'; failures until a block; milliseconds until failures are forgotten,
--       of the first block, of the longest block
-- Returns the milliseconds that the key is blocked for; then nothing was recorded.

local event, allowed, memory = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local first, longest = tonumber(ARGV[4]), tonumber(ARGV[5])

local left = redis.call('PTTL', KEYS[2])
if left > longest then
  -- Redis's clock stepped back.
  redis.call('PEXPIRE', KEYS[2], longest)
  left = longest
end
if left > 0 then return left end

if event == 'success' then
  redis.call('DEL', KEYS[1], KEYS[2])
elseif event == 'failure' then
  local failures = redis.call('INCR', KEYS[1])
  local block = 0
  if failures >= allowed then
    block = math.min(longest, first * 2 ^ (failures - allowed))
    redis.call('SET', KEYS[2], '', 'PX', block)
  end
  -- Counted from the block's end, or the longest block would end with a clean slate.
  redis.call('PEXPIRE', KEYS[1], memory + block)
end
return 0
