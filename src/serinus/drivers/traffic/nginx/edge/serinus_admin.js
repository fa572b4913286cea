// The admin locations: what is carried, what was counted, and both for Prometheus.
import document from 'serinus_split.js';

const held = ngx.shared.serinus_split, counts = ngx.shared.serinus_counts;

// Upper edges in milliseconds, as serinus_edge.js counts: a quantile is off by 7 % at most.
const EDGES = [];
for (let at = 0; at < 101; at++) {
    EDGES.push(0.05 * Math.pow(1.15, at));
}

// The dictionary is empty after a start; what was carried before was read from the file then.
function ensure() {
    if (held.get('text') === undefined) {
        document.carry(serinus_saved.text);
    }
}

// The first request after a start comes here, and then goes the way of all; so does one that finds a form
// of another release.
function begin(r) {
    try {
        document.carry(held.get('text') || serinus_saved.text);
    } catch (e) {
        r.error(`serinus: no split is carried: ${e.message}`);
        r.return(503);
        return;
    }
    r.internalRedirect('@serinus_begun');
}

// GET /split: the document that is carried. PUT /split: carry another.
function split(r) {
    try {
        if (r.method === 'PUT') {
            document.carry(r.requestText || '');
        } else {
            ensure();
        }
    } catch (e) {
        if (r.method === 'PUT') {
            r.return(422, e.message);
            return;
        }
    }
    r.headersOut['content-type'] = 'text/plain; charset=utf-8';
    r.headersOut['x-serinus-settings'] = serinus_saved.settings.digest;
    r.headersOut['x-serinus-scripts'] = serinus_saved.settings.scripts;
    r.return(200, held.get('text') || '');
}

// Requests that were counted by their milliseconds, without any arithmetic.
function quick(of, ms, requests) {
    of.buckets[EDGES.findIndex(upper => (ms || 0.5) <= upper)] += requests;
    of.total_ms += ms * requests;
}

// Every version that is carried or was counted.
function counted(r) {
    const found = {};
    function of(id) {
        found[id] = found[id] || { errors: 0, total_ms: 0, out_seconds: 0, buckets: EDGES.map(() => 0).concat([0]) };
        return found[id];
    }
    try {
        ensure();
        document.sides(held.get('text')).forEach(side => of(side.id));
    } catch (e) {
        r.warn(`serinus: no split: ${e.message}`);
    }
    counts.items(1000000).forEach(item => {
        const words = item[0].split('|');
        switch (words[0]) {
        case 'b': of(words[1]).buckets[Number(words[2])] += item[1]; break;
        case 'q': quick(of(words[1]), Number(words[2]) * 1000, item[1]); break;
        case 'e': of(words[1]).errors = item[1]; break;
        case 't': of(words[1]).total_ms += item[1]; break;
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

export default { begin, metrics, split, statistics };
