// Routes, fails over, breaks and counts for one service. Everything at the top level runs once a request:
// njs begins each anew. So settings come from the file that was read at the start, as `serinus_saved`.
import document from 'serinus_split.js';
import hashing from 'serinus_xxh64.js';

const held = ngx.shared.serinus_split, counts = ngx.shared.serinus_counts;

function carried() {
    const hot = held.get('hot');
    // The dictionary is empty after a start; what was carried before was read from the file then.
    return JSON.parse(hot === undefined ? document.carry(serinus_saved.text) : hot);
}

// -- routing --------------------------------------------------------------------------------------

function isOut(id) {
    return (counts.get(`o|${id}`) || 0) > Date.now();
}

function pinned(hot, v) {
    if (hot.pins) {
        const workflow = v[serinus_saved.settings.keys[0]], user = v[serinus_saved.settings.keys[2]];
        if (workflow && held.has(`${hot.pins}|w|${workflow}`) || user && held.has(`${hot.pins}|u|${user}`)) {
            return true;
        }
    }
    return hot.matches.some(match => v[match[0]] === match[1]);
}

// The first key present, in the SDK's order, as bytes; without any a new unit for the cookie.
function unit(r) {
    const raw = r.rawVariables, names = serinus_saved.settings.keys;
    for (let i = 0; i < names.length; i++) {
        const key = raw[names[i]];
        if (key && key.length) {
            return key;
        }
    }
    r.variables.serinus_cookie = `${serinus_saved.settings.cookie}=${r.variables.request_id}${serinus_saved.settings.cookie_ends}`;
    return raw.request_id;
}

function chosen(r, hot) {
    const canary = hot.among[0];
    if (canary && (hot.pins || hot.matches.length) && pinned(hot, r.variables)) {
        return canary;
    }
    if (!hot.total) {
        return hot.stable;
    }
    let at = hashing.bucket(Buffer.concat([Buffer.from(hot.salt), unit(r)]));
    for (let i = 0; i < hot.among.length; i++) {
        at -= hot.among[i].gap;
        if (at < 0) {
            return hot.stable;
        }
        at -= hot.among[i].bp;
        if (at < 0) {
            return hot.among[i];
        }
    }
    return hot.stable;
}

// Where an address has a name in this configuration, its connections are kept.
function address(side) {
    const to = side.to.length > 1 ? side.to[counts.incr(`turn|${side.id}`, 1, 0) % side.to.length] : side.to[0];
    return serinus_saved.kept[to] || to;
}

function toStable(v, hot) {
    v.serinus_version = v.serinus_stable = hot.stable.name;
    v.serinus_id = v.serinus_stable_id = hot.stable.id;
    v.serinus_target = v.serinus_stable_target = address(hot.stable);
}

function toCandidate(v, side) {
    v.serinus_version = v.serinus_candidate = side.name;
    v.serinus_id = v.serinus_first = side.id;
    v.serinus_target = address(side);
}

// Returns which location is right: '' for the one that asks (stable, one try), `try` for a candidate that
// may fail over, `once` for one whose request may not be sent twice; with a mirror `copied`, `copied_try`
// and `copied_once`. A candidate that failed so often in a row is out.
function decide(r, hot) {
    const v = r.variables, side = chosen(r, hot), mirror = hot.mirror;
    let how = '';
    if (side !== hot.stable && !isOut(side.id)) {
        toCandidate(v, side);
        how = serinus_saved.settings.repeats[r.method] ? 'try' : 'once';
    }
    if (mirror && Math.random() * 10000 < mirror.bp && !isOut(mirror.id)) {
        v.serinus_mirror = mirror.id;
        v.serinus_mirror_target = address(mirror);
        how = how ? `copied_${how}` : 'copied';
    }
    return how;
}

// Decides once per request; whatever goes wrong in here, the request goes to stable.
function place(r) {
    let hot;
    try {
        hot = carried();
        toStable(r.variables, hot);
    } catch (e) {
        r.error(`serinus: no split is carried: ${e.message}`);
        return 'none';
    }
    try {
        return decide(r, hot);
    } catch (e) {
        r.error(`serinus: sent to stable: ${e.stack}`);
        r.variables.serinus_candidate = '';
        toStable(r.variables, hot);
        return '';
    }
}

// -- counting -------------------------------------------------------------------------------------

// Upper edges are 0.05 ms, and on by 15 %. NGINX tells times in whole milliseconds: 0 is below one.
function bucket(ms) {
    const at = Math.ceil(Math.log((ms || 0.5) / 0.05) / 0.13976194237515868);  // log(1.15)
    return at < 0 ? 0 : at > 101 ? 101 : at;
}

function count(id, candidate, ms, failed) {
    counts.incr(`b|${id}|${bucket(ms)}`, 1, 0);
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

// An answer that broke off has fewer bytes than it said, and the client has got all of them. One without
// a length cannot be told from a whole one here.
function broken(r, v) {
    const whole = Number(v.upstream_http_content_length);
    if (!whole || r.method === 'HEAD' || v.status === '304') {
        return false;
    }
    const parts = v.upstream_response_length.split(/ : |, /);
    const got = Number(parts[parts.length - 1]);
    return got < whole && Number(v.body_bytes_sent) >= got;
}

// In the log phase: one count per try. Returns nothing, so that nothing is written.
function log(r) {
    const v = r.variables;
    if (!v.upstream_status) {
        return '';
    }
    const statuses = v.upstream_status.split(/ : |, /), times = v.upstream_response_time.split(/ : |, /);
    const last = statuses.length - 1, saved = v.serinus_candidate && v.serinus_version !== v.serinus_candidate;
    for (let i = 0; i <= last; i++) {
        const of = saved && !i ? v.serinus_first : v.serinus_id;
        const failed = Number(statuses[i]) >= 500 || (i === last && broken(r, v));
        count(of, v.serinus_candidate && !(saved && i), Number(times[i]) * 1000 || 0, failed);
    }
    return '';
}

// The same for a copy.
function logCopy(r) {
    const v = r.variables;
    if (v.upstream_status) {
        count(v.serinus_mirror, true, Number(v.upstream_response_time) * 1000 || 0, Number(v.upstream_status) >= 500);
    }
    return '';
}

export default { log, logCopy, place };
