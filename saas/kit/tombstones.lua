-- Sets keys to the empty string, each for its number of seconds.
--
-- KEYS  the keys
-- ARGV  their seconds, in the same order
--
-- Redis without memory refuses a script's writes unless it has written before, and always lets it delete: so what was
-- kept is deleted first, and the rest goes through. One at a time, since Lua passes no more than 8,000 arguments.

for number, key in ipairs(KEYS) do
  redis.call('DEL', key)
  redis.call('SET', key, '', 'EX', ARGV[number])
end
