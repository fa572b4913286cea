-- xxHash, 64 bit, seed 0, by LuaJIT's 64-bit integers: the same number as serinus.core.bucketing.
local bit = require "bit"
local ffi = require "ffi"

local bxor, rol, shr = bit.bxor, bit.rol, bit.rshift
local cast = ffi.cast
local chars, words, longs = ffi.typeof "const uint8_t *", ffi.typeof "const uint32_t *", ffi.typeof "const uint64_t *"
local u64 = ffi.typeof "uint64_t"

-- Lanes are read as they lie in memory.
assert(ffi.abi "le", "serinus: this processor's byte order is not supported; use module njs")

local P1, P2, P3 = 0x9E3779B185EBCA87ULL, 0xC2B2AE3D27D4EB4FULL, 0x165667B19E3779F9ULL
local P4, P5 = 0x85EBCA77C2B2AE63ULL, 0x27D4EB2F165667C5ULL

local function round(acc, lane)
  return rol(acc + lane * P2, 31) * P1
end

local function merge(hash, acc)
  return bxor(hash, round(0ULL, acc)) * P1 + P4
end

local function stripe(v1, v2, v3, v4, p)
  local lanes = cast(longs, p)
  return round(v1, lanes[0]), round(v2, lanes[1]), round(v3, lanes[2]), round(v4, lanes[3])
end

local function word(hash, p)
  return rol(bxor(hash, round(0ULL, cast(longs, p)[0])), 27) * P1 + P4
end

local function byte(hash, p)
  return rol(bxor(hash, u64(p[0]) * P5), 11) * P1
end

-- Returns the hash of a string as an unsigned 64-bit integer. Loops of a few rounds are written out: LuaJIT
-- compiles no request that has one inside, and makes an object of each number where it does not compile.
return function(text)
  local length, p = #text, cast(chars, text)
  local left, hash = length, P5
  if left >= 32 then
    local v1, v2, v3, v4 = stripe(P1 + P2, P2, 0ULL, 0ULL - P1, p)
    p, left = p + 32, left - 32
    if left >= 32 then
      v1, v2, v3, v4 = stripe(v1, v2, v3, v4, p)
      p, left = p + 32, left - 32
      if left >= 32 then
        v1, v2, v3, v4 = stripe(v1, v2, v3, v4, p)
        p, left = p + 32, left - 32
        while left >= 32 do
          v1, v2, v3, v4 = stripe(v1, v2, v3, v4, p)
          p, left = p + 32, left - 32
        end
      end
    end
    hash = rol(v1, 1) + rol(v2, 7) + rol(v3, 12) + rol(v4, 18)
    hash = merge(merge(merge(merge(hash, v1), v2), v3), v4)
  end
  hash = hash + u64(length)
  if left >= 8 then
    hash, p, left = word(hash, p), p + 8, left - 8
    if left >= 8 then
      hash, p, left = word(hash, p), p + 8, left - 8
      if left >= 8 then hash, p, left = word(hash, p), p + 8, left - 8 end
    end
  end
  if left >= 4 then
    hash = rol(bxor(hash, u64(cast(words, p)[0]) * P1), 23) * P2 + P3
    p, left = p + 4, left - 4
  end
  if left >= 1 then hash = byte(hash, p) end
  if left >= 2 then hash = byte(hash, p + 1) end
  if left >= 3 then hash = byte(hash, p + 2) end
  hash = bxor(hash, shr(hash, 33)) * P2
  hash = bxor(hash, shr(hash, 29)) * P3
  return bxor(hash, shr(hash, 32))
end
