-- The sliding window, a part for scripts that count requests; it has no body of its own.
--
-- now()   Redis's clock in microseconds.
-- take(key, amount, span, clock, spend)
--         Count one request if fewer than `amount` were admitted in the last `span` microseconds; look only
--         if `spend` is false. Returns {1 or 0 admitted, requests left, microseconds until there is one more}.
--
-- One string a key: a header, then a ring of the last admission times. Only admissions are written.

local HEADER = '<I4I4I4d'
local HEADER_SIZE = 20
local SHIFT_AT = 12
local SLOT = 8
local SMALLEST_RING = 8

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function slot_at(slot)
  return HEADER_SIZE + slot * SLOT
end

-- SETRANGE past the end reserves double the length; SET reserves what it is given. The ring doubles up to
-- `amount`, so a quiet user costs about a hundred bytes and growth stays cheap.
local function grow(key, ring, amount)
  local entries = redis.call('GETRANGE', key, HEADER_SIZE, -1)
  local oldest = (ring.newest + 1) * SLOT
  local capacity = math.min(amount, math.max(SMALLEST_RING, ring.capacity * 2))
  redis.call('SET', key, string.rep('\0', HEADER_SIZE) .. string.sub(entries, oldest + 1)
    .. string.sub(entries, 1, oldest) .. string.rep('\0', (capacity - ring.capacity) * SLOT))
  ring.newest = ring.capacity - 1
  ring.capacity = capacity
end

local function admit(key, ring, amount, time)
  if ring.live == ring.capacity then grow(key, ring, amount) end
  ring.newest = (ring.newest + 1) % ring.capacity
  ring.live = ring.live + 1
  redis.call('SETRANGE', key, slot_at(ring.newest), struct.pack('<d', time))
  redis.call('SETRANGE', key, 0, struct.pack(HEADER, ring.newest, ring.live, ring.capacity, ring.shift))
end

local function take(key, amount, span, clock, spend)
  local ring = {newest = -1, live = 0, capacity = 0, shift = 0}
  local header = redis.call('GETRANGE', key, 0, HEADER_SIZE - 1)
  if header ~= '' then
    ring.newest, ring.live, ring.capacity, ring.shift = struct.unpack(HEADER, header)
  end

  local function admitted_at(age)
    local from = slot_at((ring.newest - age) % ring.capacity)
    return (struct.unpack('<d', redis.call('GETRANGE', key, from, from + SLOT - 1)))
  end

  -- Two milliseconds more: Redis cuts the clock to milliseconds, and the window must not end early.
  local function keep()
    redis.call('PEXPIRE', key, math.ceil(span / 1000) + 2)
  end

  -- The clock can step. Back (NTP, a failover): each key carries a shift that keeps its own time from falling,
  -- as if no time had passed since the newest admission; that never admits more than `amount` in a window and
  -- blocks for one window at most, where trusting the clock would block until it caught up. Stored at once,
  -- or a denied caller would meet the same step again. Forward: it can't be told from waiting, since Redis
  -- has no other clock and expires the key by the same one; one window more is admitted at the worst.
  local time = clock + ring.shift
  if ring.live > 0 and time < admitted_at(0) then
    time = admitted_at(0)
    ring.shift = time - clock
    redis.call('SETRANGE', key, SHIFT_AT, struct.pack('<d', ring.shift))
    keep()
  end

  while ring.live > 0 and admitted_at(ring.live - 1) <= time - span do
    ring.live = ring.live - 1
  end
  local admitted = ring.live < amount
  if admitted and spend then
    admit(key, ring, amount, time)
    keep()
  end

  -- More can be live than `amount` after the limit was lowered.
  local counted = math.min(ring.live, amount)
  local reset = 0
  if counted > 0 then reset = admitted_at(counted - 1) + span - time end
  return {admitted and 1 or 0, amount - counted, reset}
end
