// Routes, fails over, breaks and counts for one service. njs begins every request anew, so the shared
// dictionary holds the split in the form that a request needs: `hot` in one text, pinned units by name.
import hashing from 'serinus_xxh64.js';

const SETTINGS = @SETTINGS@;
const held = ngx.shared.serinus_split, counts = ngx.shared.serinus_counts;

// Upper edges in milliseconds, 15 % apart from 1 ms on: NGINX tells times in whole milliseconds.
const EDGES = [0, 1];
for (let upper = 2; upper < 60000; upper = Math.ceil(upper * 1.15)) {
    EDGES.push(upper);
}

// -- the document ---------------------------------------------------------------------------------

function version(words, first) {
    const addresses = words.slice(first);
    const wrong = addresses.find(address => !/^(\[[0-9a-fA-F:.]+\]|[0-9.]+):\d+$/.test(address));
    if (wrong !== undefined || !addresses.length) {
        throw new Error(`no address: ${wrong || words[1]}`);
    }
    return { id: words[1], name: decodeURIComponent(words[1]), to: addresses };
}

function share(words) {
    const bp = Number(words[2]);
    if (!(bp >= 0 && bp <= 10000 && bp % 1 === 0)) {
        throw new Error(`no share: ${words[2]}`);
    }
    const made = version(words, 3);
    made.bp = bp;
    return made;
}

function add(split, words) {
    const plain = words.slice(1).map(decodeURIComponent);
    switch (words[0]) {
    case 'serinus':
        if (words[1] !== '1') {
            throw new Error(`it is of format ${words[1]}, not 1`);
        }
        split.format = 1;
        break;
    case 'salt': split.hot.salt = `${plain[0] || ''}:`; break;
    case 'stable': split.hot.stable = version(words, 2); break;
    case 'canary':
    case 'other':
        split.hot.among.push(share(words));
        split.hot.total += split.hot.among[split.hot.among.length - 1].bp;
        break;
    case 'mirror': split.hot.mirror = share(words); break;
    case 'user': split.units.push(`u|${plain[0]}`); break;
    case 'workflow': split.units.push(`w|${plain[0]}`); break;
    case 'header':
        split.hot.matches.push([`http_${plain[0].toLowerCase().replace(/-/g, '_')}`, plain[1] || '']);
        break;
    case 'cookie': split.hot.matches.push([`cookie_${plain[0]}`, plain[1] || '']); break;
    default: throw new Error(`unknown line: ${words[0]}`);
    }
}

function parse(text) {
    const split = { units: [], hot: { salt: ':', total: 0, among: [], matches: [] } };
    text.split('\n').filter(line => line).forEach(line => add(split, line.split(' ')));
    if (!split.format || !split.hot.stable) {
        throw new Error(split.format ? 'it has no stable version' : 'it has no format');
    }
    if (split.hot.total > 10000) {
        throw new Error('its shares are more than everybody');
    }
    return split;
}

// The units of a new document have names of their own: a request sees the old ones or the new ones.
function carry(text) {
    const split = parse(text);
    const generation = counts.incr('revision', 1, 0);
    split.units.forEach(unit => held.set(`${generation}|${unit}`, ''));
    split.hot.pins = split.units.length ? generation : 0;
    const hot = JSON.stringify(split.hot);
    held.set('text', text);
    held.set('hot', hot);
    if (counts.get('pinned')) {
        held.keys(1000000).forEach(key => {
            if (key !== 'text' && key !== 'hot' && !key.startsWith(`${generation}|`)) {
                held.delete(key);
            }
        });
    }
    counts.set('pinned', split.hot.pins);
    return hot;
}

function carried() {
    const hot = held.get('hot');
    // The dictionary is empty after a start; what was carried before was read from the file then.
    return JSON.parse(hot === undefined ? carry(serinus_saved.text) : hot);
}

// -- routing --------------------------------------------------------------------------------------

function isOut(id) {
    return (counts.get(`o|${id}`) || 0) > Date.now();
}

function pinned(hot, v) {
    if (hot.pins) {
        const workflow = v[SETTINGS.workflow], user = v[SETTINGS.user];
        if (workflow && held.has(`${hot.pins}|w|${workflow}`) || user && held.has(`${hot.pins}|u|${user}`)) {
            return true;
        }
    }
    return hot.matches.some(match => v[match[0]] === match[1]);
}

const KEYS = [SETTINGS.workflow, SETTINGS.session, SETTINGS.user, SETTINGS.cookie_variable];

// The first key present, in the SDK's order, as bytes; without any a new unit for the cookie.
function unit(r) {
    const raw = r.rawVariables;
    for (let i = 0; i < KEYS.length; i++) {
        const key = raw[KEYS[i]];
        if (key && key.length) {
            return key;
        }
    }
    r.variables.serinus_cookie = `${SETTINGS.cookie}=${r.variables.request_id}${SETTINGS.cookie_ends}`;
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

// Decides once per request. Returns which location is right: '' for the one that asks (stable, one try),
// `try` for a candidate that may fail over, `once` for one whose request may not be sent twice; with a
// mirror `copied`, `copied_try` and `copied_once`. A candidate that failed so often in a row is out.
function place(r) {
    const v = r.variables;
    let hot;
    try {
        hot = carried();
    } catch (e) {
        return 'none';
    }
    let side = chosen(r, hot);
    const candidate = side !== hot.stable && !isOut(side.id);
    v.serinus_stable = hot.stable.name;
    v.serinus_stable_id = hot.stable.id;
    v.serinus_target = v.serinus_stable_target = address(hot.stable);
    if (candidate) {
        v.serinus_candidate = side.name;
        v.serinus_first = side.id;
        v.serinus_target = address(side);
    } else {
        side = hot.stable;
    }
    v.serinus_version = side.name;
    v.serinus_id = side.id;
    const mirror = hot.mirror;
    const copy = mirror && Math.random() * 10000 < mirror.bp && !isOut(mirror.id);
    if (copy) {
        v.serinus_mirror = mirror.id;
        v.serinus_mirror_target = address(mirror);
    }
    const how = !candidate ? '' : SETTINGS.retry_methods.includes(r.method) ? 'try' : 'once';
    return copy ? (how ? `copied_${how}` : 'copied') : how;
}

// -- counting -------------------------------------------------------------------------------------

function bucket(ms) {
    let low = 0, high = EDGES.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (EDGES[middle] < ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

function count(id, candidate, ms, failed) {
    counts.incr(`b|${id}|${bucket(ms)}`, 1, 0);
    counts.incr(`t|${id}`, ms, 0);
    if (failed) {
        counts.incr(`e|${id}`, 1, 0);
        if (candidate && counts.incr(`f|${id}`, 1, 0) >= SETTINGS.breaker_failures) {
            counts.set(`o|${id}`, Date.now() + SETTINGS.breaker_seconds * 1000);
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

// -- the admin locations --------------------------------------------------------------------------

// GET /split: the document that is carried. PUT /split: carry another.
function split(r) {
    try {
        if (r.method === 'PUT') {
            carry(r.requestText || '');
        } else {
            carried();
        }
    } catch (e) {
        if (r.method === 'PUT') {
            r.return(422, e.message);
            return;
        }
    }
    r.headersOut['content-type'] = 'text/plain; charset=utf-8';
    r.headersOut['x-serinus-settings'] = SETTINGS.digest;
    r.headersOut['x-serinus-scripts'] = SETTINGS.scripts;
    r.return(200, held.get('text') || '');
}

// Every version that is carried or was counted.
function counted(r) {
    const found = {};
    function of(id) {
        found[id] = found[id] || { errors: 0, total_ms: 0, out_seconds: 0, buckets: EDGES.map(() => 0).concat([0]) };
        return found[id];
    }
    try {
        const hot = carried();
        [hot.stable].concat(hot.among, hot.mirror ? [hot.mirror] : []).forEach(side => of(side.id));
    } catch (e) {
        r.warn(`serinus: no split: ${e.message}`);
    }
    counts.items(1000000).forEach(item => {
        const words = item[0].split('|');
        switch (words[0]) {
        case 'b': of(words[1]).buckets[Number(words[2])] = item[1]; break;
        case 'e': of(words[1]).errors = item[1]; break;
        case 't': of(words[1]).total_ms = item[1]; break;
        case 'o': of(words[1]).out_seconds = Math.max(0, (item[1] - Date.now()) / 1000); break;
        }
    });
    return found;
}

// GET /statistics: versions are percent-encoded as in the document, buckets are not cumulative.
function statistics(r) {
    r.headersOut['content-type'] = 'application/json';
    r.return(200, JSON.stringify({ edges_ms: EDGES, versions: counted(r) }));
}

// GET /metrics: as Prometheus reads it.
function metrics(r) {
    const found = counted(r), lines = [];
    function each(name, kind, write) {
        lines.push(`# TYPE ${name} ${kind}`);
        Object.keys(found).forEach(id => {
            const label = decodeURIComponent(id).replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n');
            write(name, `version="${label}"`, found[id]);
        });
    }
    each('serinus_edge_errors_total', 'counter', (name, label, of) => lines.push(`${name}{${label}} ${of.errors}`));
    each('serinus_edge_out', 'gauge', (name, label, of) => lines.push(`${name}{${label}} ${of.out_seconds ? 1 : 0}`));
    each('serinus_edge_request_seconds', 'histogram', (name, label, of) => {
        let seen = 0;
        EDGES.forEach((upper, at) => {
            seen += of.buckets[at];
            lines.push(`${name}_bucket{${label},le="${upper / 1000}"} ${seen}`);
        });
        seen += of.buckets[EDGES.length];
        lines.push(`${name}_bucket{${label},le="+Inf"} ${seen}`);
        lines.push(`${name}_sum{${label}} ${of.total_ms / 1000}`, `${name}_count{${label}} ${seen}`);
    });
    r.headersOut['content-type'] = 'text/plain; version=0.0.4';
    r.return(200, `${lines.join('\n')}\n`);
}

export default { log, logCopy, metrics, place, split, statistics };
