// xxHash, 64 bit, seed 0, for an engine without integers of 64 bits: the same number as
// serinus.core.bucketing. A number is two halves of 32 bits, signed or not; products are made of parts of
// 16 bits, so that every sum stays below 2^53. Results lie in `hi` and `lo`: arrays would cost more than
// the arithmetic does.
const P1H = 0x9E3779B1, P1L = 0x85EBCA87, P2H = 0xC2B2AE3D, P2L = 0x27D4EB4F, P3H = 0x165667B1, P3L = 0x9E3779F9;
const P4H = 0x85EBCA77, P4L = 0xC2B2AE63, P5H = 0x27D4EB2F, P5L = 0x165667C5;

let hi = 0, lo = 0;

// hi:lo = (ah:al * bh:bl + ch:cl) mod 2^64; b and c are unsigned.
function times(ah, al, bh, bl, ch, cl) {
    const a1 = al >>> 16, a0 = al & 0xffff;
    const low = a0 * bl;
    const middle = a1 * bl + (low - (low & 0xffff)) / 65536;
    const sum = (middle & 0xffff) * 65536 + (low & 0xffff) + cl;
    const cross = a0 * bh + (ah & 0xffff) * bl;
    const high = (a1 * bh & 0xffff) + ((ah >>> 16) * bl & 0xffff);
    lo = sum | 0;
    hi = ((middle - (middle & 0xffff)) / 65536 + cross + high * 65536 + (sum > 0xffffffff ? 1 : 0) + ch) | 0;
}

// hi:lo = rol(ch:cl + lane * P2, 31) * P1; c is unsigned.
function round(ch, cl, laneH, laneL) {
    times(laneH, laneL, P2H, P2L, ch, cl);
    times((hi << 31) | (lo >>> 1), (lo << 31) | (hi >>> 1), P1H, P1L, 0, 0);
}

// hi:lo = rol(h:l, by) * b + c
function turned(h, l, by, bh, bl, ch, cl) {
    times((h << by) | (l >>> (32 - by)), (l << by) | (h >>> (32 - by)), bh, bl, ch, cl);
}

// hi:lo += rol(h:l, by)
function add(h, l, by) {
    const sum = (lo >>> 0) + (((l << by) | (h >>> (32 - by))) >>> 0);
    hi = (hi + ((h << by) | (l >>> (32 - by))) + (sum > 0xffffffff ? 1 : 0)) | 0;
    lo = sum | 0;
}

function merge(h, l) {
    const ph = hi, pl = lo;
    round(0, 0, h, l);
    times(ph ^ hi, pl ^ lo, P1H, P1L, P4H, P4L);
}

// hi:lo = the four accumulators over all whole stripes of 32 bytes, put together.
function stripes(bytes, end) {
    const h = [0x60EA27EE, P2H, 0, 0x61C8864E], l = [0xADC0B5D6, P2L, 0, 0x7A143579];
    for (let at = 0; at < end; at += 32) {
        for (let i = 0; i < 4; i++) {
            round(h[i], l[i], bytes.readUInt32LE(at + 8 * i + 4), bytes.readUInt32LE(at + 8 * i));
            h[i] = hi >>> 0, l[i] = lo >>> 0;
        }
    }
    hi = 0, lo = 0;
    add(h[0], l[0], 1), add(h[1], l[1], 7), add(h[2], l[2], 12), add(h[3], l[3], 18);
    merge(h[0], l[0]), merge(h[1], l[1]), merge(h[2], l[2]), merge(h[3], l[3]);
}

// hi:lo = the hash of a Buffer.
function hash(bytes) {
    const length = bytes.length;
    let at = length - length % 32;
    if (at) {
        stripes(bytes, at);
    } else {
        hi = P5H, lo = P5L;
    }
    const sum = (lo >>> 0) + length;
    hi = (hi + (sum > 0xffffffff ? 1 : 0)) | 0, lo = sum | 0;
    let h, l;
    for (; at + 8 <= length; at += 8) {
        h = hi, l = lo;
        round(0, 0, bytes.readUInt32LE(at + 4), bytes.readUInt32LE(at));
        turned(h ^ hi, l ^ lo, 27, P1H, P1L, P4H, P4L);
    }
    if (at + 4 <= length) {
        h = hi, l = lo;
        times(0, bytes.readUInt32LE(at), P1H, P1L, 0, 0);
        turned(h ^ hi, l ^ lo, 23, P2H, P2L, P3H, P3L);
        at += 4;
    }
    for (; at < length; at++) {
        h = hi, l = lo;
        times(0, bytes[at], P5H, P5L, 0, 0);
        turned(h ^ hi, l ^ lo, 11, P1H, P1L, 0, 0);
    }
    times(hi, lo ^ (hi >>> 1), P2H, P2L, 0, 0);                                     // ^= >> 33
    times(hi ^ (hi >>> 29), lo ^ ((hi << 3) | (lo >>> 29)), P3H, P3L, 0, 0);        // ^= >> 29
    lo ^= hi;                                                                       // ^= >> 32
}

// Returns the hash of a Buffer as [upper, lower], both unsigned.
function xxh64(bytes) {
    hash(bytes);
    return [hi >>> 0, lo >>> 0];
}

// The hash modulo 10,000: 2^32 modulo 10,000 is 7,296.
function bucket(bytes) {
    hash(bytes);
    return ((hi >>> 0) % 10000 * 7296 + (lo >>> 0) % 10000) % 10000;
}

export default { bucket, xxh64 };
