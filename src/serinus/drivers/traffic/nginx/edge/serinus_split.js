// The document of a split, and the form of it that requests need. njs begins every request anew, so the
// shared dictionary holds `hot`, what every request looks at, in one text, and pinned units by name.
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
        if (!(split.gap >= 0 && split.gap % 1 === 0)) {
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

// The units of a new document have names of their own: a request sees the old ones or the new ones.
function carry(text) {
    const held = ngx.shared.serinus_split, counts = ngx.shared.serinus_counts;
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

export default { carry };
