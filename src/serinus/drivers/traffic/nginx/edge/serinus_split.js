// The document of a split, and the form of it that requests need. njs begins every request anew, so the
// shared dictionary holds `hot`, what every request looks at, in one text, and pinned units by name.
//
// `hot` is the place of stable, and further parts only where something else may be right: salt, everybody's
// share, the name of pins, matches, addresses and id of stable where it has several, the mirror, and four
// parts for each candidate: where its buckets end, its id, its addresses where it has several, its place; of
// a gap before one, whose buckets are stable's, the last three are empty. A place has the lines that nginx.conf
// takes apart; a line for an address that is chosen later is \r or \v.
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
        split.hot.among[split.hot.among.length - 1].gap = split.gap;
        split.hot.total += split.gap + split.hot.among[split.hot.among.length - 1].bp;
        split.gap = 0;
        break;
    case 'gap':  // buckets before the next candidate that are left to stable
        split.gap = Number(words[1]);
        if (!(split.gap >= 0 && split.gap % 1 === 0 && split.hot.among.length)) {
            throw new Error(`no gap: ${words[1]}`);
        }
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
    const split = { units: [], gap: 0, hot: { salt: ':', total: 0, among: [], matches: [] } };
    text.split('\n').filter(line => line).forEach(line => add(split, line.split(' ')));
    if (!split.format || !split.hot.stable) {
        throw new Error(split.format ? 'it has no stable version' : 'it has no format');
    }
    if (split.hot.total > 10000) {
        throw new Error('its shares are more than everybody');
    }
    return split;
}

function plain(text) {
    return text.replace(/[\0-\x1f]/g, ' ');
}

function place(side, sign) {
    return `\n${plain(side.name)}\n${side.id}\n${side.to.length > 1 ? sign : side.to[0]}`;
}

function several(side) {
    return side.to.length > 1 ? side.to.join(' ') : '';
}

function hotOf(split, pins) {
    const hot = split.hot, stable = hot.stable, mirror = hot.mirror;
    const parts = [
        place(stable, '\r'), plain(hot.salt), hot.total, pins, hot.matches.length ? JSON.stringify(hot.matches) : '',
        several(stable), stable.id, mirror ? [mirror.bp, mirror.id].concat(mirror.to).join(' ') : '',
    ];
    let below = 0;
    hot.among.forEach(side => {
        if (side.gap) {
            below += side.gap;
            parts.push(below, '', '', '');
        }
        below += side.bp;
        const failed = `\n${plain(side.name)}\n${side.id}${place(stable, '\v')}`;
        parts.push(below, side.id, several(side), place(side, '\r') + failed);
    });
    return hot.among.length || mirror || stable.to.length > 1 ? parts.join('\t') : parts[0];
}

// The units of a new document have names of their own: a request sees the old ones or the new ones.
function carry(text) {
    const held = ngx.shared.serinus_split, counts = ngx.shared.serinus_counts;
    const split = parse(text);
    const generation = counts.incr('revision', 1, 0);
    split.units.forEach(unit => held.set(`${generation}|${unit}`, ''));
    const pins = split.units.length ? generation : 0;
    held.set('text', text);
    held.set('hot', hotOf(split, pins));
    if (counts.get('pinned')) {
        held.keys(1000000).forEach(key => {
            if (key !== 'text' && key !== 'hot' && !key.startsWith(`${generation}|`)) {
                held.delete(key);
            }
        });
    }
    counts.set('pinned', pins);
}

// The versions that are carried.
function sides(text) {
    const hot = parse(text).hot;
    return [hot.stable].concat(hot.among, hot.mirror ? [hot.mirror] : []);
}

export default { carry, sides };
