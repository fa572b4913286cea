// Routes, fails over, breaks and counts for one service.
//
// njs begins every request anew: whatever is at the top level here is made once a request, each function
// too. So there are few, the rest is inside of those that need it, and nothing is imported. One text in the
// shared dictionary, `hot`, holds ready answers for nginx.conf to take apart; serinus_split.js makes it.
const held = ngx.shared.serinus_split, counts = ngx.shared.serinus_counts;

// Decides once per request; whatever goes wrong in here, the request goes to stable.
function place(r) {
    const hot = held.get('hot');
    if (hot === undefined) {
        return 'begin\n\n\n';
    }
    return hot.indexOf('\t') < 0 ? hot : choose(r, hot.split('\t'));
}

// Where more than stable may be right. The answer begins with the location: none for the one that asks
// (stable, one try), `try` for a candidate that may fail over, `once` for one whose request may not be sent
// twice; with a mirror `copied`, `copied_try` and `copied_once`.
function choose(r, hot) {
    const FIRST = 8, PARTS = 4;  // a candidate's parts in `hot`

    // A version that failed so often in a row.
    function isOut(id) {
        return (counts.get(`o|${id}`) || 0) > Date.now();
    }

    // Several addresses take turns.
    function turn(addresses, id) {
        return addresses[counts.incr(`turn|${id}`, 1, 0) % addresses.length];
    }

    function pinned() {
        const v = r.variables, pins = hot[3];
        if (pins !== '0') {
            const workflow = v.serinus_workflow, user = v.serinus_user;
            if (workflow && held.has(`${pins}|w|${workflow}`) || user && held.has(`${pins}|u|${user}`)) {
                return true;
            }
        }
        return hot[4] !== '' && JSON.parse(hot[4]).some(match => v[match[0]] === match[1]);
    }

    // The first key present, in the SDK's order, as bytes; without any a new unit for the cookie.
    function unit() {
        const settings = serinus_saved.settings;
        r.variables.serinus_cookie = `${settings.cookie}=${r.variables.request_id}${settings.cookie_ends}`;
        return r.rawVariables.request_id;
    }

    function candidate() {
        if (hot.length > FIRST && (hot[3] !== '0' || hot[4] !== '') && pinned()) {
            return FIRST;
        }
        if (hot[2] === '0') {
            return -1;
        }
        const key = r.rawVariables.serinus_key, at = bucket(hot[1], key && key.length ? key : unit());
        for (let side = FIRST; side < hot.length; side += PARTS) {
            if (at < Number(hot[side])) {
                return hot[side + 1] ? side : -1;  // a gap is stable's
            }
        }
        return -1;
    }

    const stable = hot[5] ? hot[0].replace('\r', turn(hot[5].split(' '), hot[6])) : hot[0];
    try {
        const side = candidate();
        let how = '', place = stable;
        if (side > 0 && !isOut(hot[side + 1])) {
            how = serinus_saved.settings.repeats[r.method] ? 'try' : 'once';
            place = hot[side + 3];
            if (hot[side + 2]) {
                place = place.replace('\r', turn(hot[side + 2].split(' '), hot[side + 1]));
            }
            if (hot[5]) {
                place = place.replace('\v', turn(hot[5].split(' '), hot[6]));
            }
        }
        if (hot[7]) {
            const mirror = hot[7].split(' '), id = mirror[1];
            if (Math.random() * 10000 < Number(mirror[0]) && !isOut(id)) {
                place += `${how ? '' : '\n\n\n\n\n'}\n${id}\n${turn(mirror.slice(2), id)}`;
                how = how ? `copied_${how}` : 'copied';
            }
        }
        return how + place;
    } catch (e) {
        r.error(`serinus: sent to stable: ${e.stack}`);
        return stable;
    }
}

// The bucket of "salt:key": xxHash, 64 bit, seed 0, modulo 10,000, as serinus.core.bucketing has it. What
// was found is remembered for as long as there is room.
function bucket(salt, key) {
    const known = ngx.shared.serinus_buckets, bytes = Buffer.concat([Buffer.from(salt), key]);
    const name = bytes.toString('hex'), before = known.get(name);
    if (before !== undefined) {
        return before;
    }

    // A number is two halves of 32 bits, signed or not; products are made of parts of 16 bits, so that every sum
    // stays below 2^53. Results lie in `hi` and `lo`: arrays would cost more than the arithmetic does.
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
    function stripes(end) {
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

    // hi:lo = the hash.
    function hash() {
        const length = bytes.length;
        let at = length - length % 32;
        if (at) {
            stripes(at);
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

    hash();
    // 2^32 modulo 10,000 is 7,296.
    const found = ((hi >>> 0) % 10000 * 7296 + (lo >>> 0) % 10000) % 10000;
    known.set(name, found);
    return found;
}

// In the log phase. Returns nothing, so that nothing is written. Most requests are on stable and well: for
// them nginx.conf has made the name of the counter.
function log(r) {
    const quick = r.variables.serinus_quick;
    if (quick) {
        counts.incr(quick, 1, 0);
    } else {
        count(r, r.variables, false);
    }
    return '';
}

// The same for a copy.
function logCopy(r) {
    count(r, r.variables, true);
    return '';
}

// One count per try.
function count(r, v, copy) {
    function add(id, candidate, ms, failed) {
        // Upper edges are 0.05 ms, and on by 15 %. NGINX tells times in whole milliseconds: 0 is below one.
        const at = Math.ceil(Math.log((ms || 0.5) / 0.05) / 0.13976194237515868);  // log(1.15)
        counts.incr(`b|${id}|${at < 0 ? 0 : at > 101 ? 101 : at}`, 1, 0);
        counts.incr(`t|${id}`, ms, 0);
        if (failed) {
            counts.incr(`e|${id}`, 1, 0);
            if (candidate && counts.incr(`f|${id}`, 1, 0) >= serinus_saved.settings.breaker_failures) {
                counts.set(`o|${id}`, Date.now() + serinus_saved.settings.breaker_seconds * 1000);
            }
        } else if (candidate && counts.get(`f|${id}`)) {
            counts.set(`f|${id}`, 0);
        }
    }

    // One value per try: `502, 200`, or with ` : ` after a failover to another location.
    function each(text) {
        return text.indexOf(',') < 0 && text.indexOf(':') < 0 ? [text] : text.split(/ : |, /);
    }

    // An answer that broke off has fewer bytes than it said, and the client has got all of them. One
    // without a length cannot be told from a whole one here.
    function broken() {
        const whole = Number(v.upstream_http_content_length);
        if (!whole || r.method === 'HEAD' || v.status === '304') {
            return false;
        }
        const got = Number(each(v.upstream_response_length).pop());
        return got < whole && Number(v.body_bytes_sent) >= got;
    }

    if (!v.upstream_status) {
        return;
    }
    const statuses = each(v.upstream_status), times = each(v.upstream_response_time), last = statuses.length - 1;
    const candidate = v.serinus_candidate, saved = candidate && v.serinus_version !== candidate;
    for (let i = 0; i <= last; i++) {
        const of = copy ? v.serinus_mirror : saved && !i ? v.serinus_first : v.serinus_id;
        const failed = Number(statuses[i]) >= 500 || (!copy && i === last && broken());
        add(of, copy || candidate && !(saved && i), Number(times[i]) * 1000 || 0, failed);
    }
}

export default { log, logCopy, place };
