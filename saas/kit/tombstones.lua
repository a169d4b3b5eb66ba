-- Sets keys to the empty string, each for its number of seconds.
--
-- KEYS  the keys
-- ARGV  their seconds, in the same order
--
-- Redis without memory refuses a script's writes unless it has written before, and always lets it delete: so what was
-- kept is deleted first, and the rest goes through.

redis.call('DEL', unpack(KEYS))
for number, key in ipairs(KEYS) do
  redis.call('SET', key, '', 'EX', ARGV[number])
end
