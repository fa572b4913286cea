package serinus

import "encoding/binary"

// Buckets is the number of buckets, as in serinus.core.bucketing: one is 0.01 %.
const buckets = 10000

const (
	prime1 uint64 = 11400714785074694791
	prime2 uint64 = 14029467366897019727
	prime3 uint64 = 1609587929392839161
	prime4 uint64 = 9650029242287828579
	prime5 uint64 = 2870177450012600261
)

// hasher computes xxh64("salt:key"), seed 0.
//
// Traefik interprets this code at some 30 ns an operation. So the words that lie in the salt are
// mixed in once, for each length that a short text may have, and words are read by one native call.
type hasher struct {
	prefix string
	words  int
	short  []uint64
}

func newHasher(salt string) *hasher {
	h := &hasher{prefix: salt + ":", short: make([]uint64, 32)}
	h.words = len(h.prefix) / 8 * 8
	if h.words > 24 {
		h.words = 24
	}
	for n := range h.short {
		mixed := prime5 + uint64(n)
		for at := 0; at < h.words; at += 8 {
			mixed = fold(mixed, binary.LittleEndian.Uint64([]byte(h.prefix[at:at+8])))
		}
		h.short[n] = mixed
	}
	return h
}

// bucketOf returns the key's bucket. It is a function since a method costs six times as much to call.
func bucketOf(h *hasher, key string) int {
	text := []byte(h.prefix + key)
	if len(text) < 32 {
		return int(finish(h.short[len(text)], text[h.words:]) % buckets)
	}
	return int(long(text) % buckets)
}

func round(lane, word uint64) uint64 {
	lane = lane + word*prime2
	return (lane<<31 | lane>>33) * prime1
}

func fold(mixed, word uint64) uint64 {
	mixed = mixed ^ round(0, word)
	return (mixed<<27|mixed>>37)*prime1 + prime4
}

// long mixes 32 bytes at a time in four lanes.
func long(text []byte) uint64 {
	size := uint64(len(text))
	var w, v1, v2, v3, v4 uint64 = 0, 6983438078262162902, prime2, 0, 7046029288634856825
	for len(text) >= 32 {
		w = v1 + binary.LittleEndian.Uint64(text)*prime2
		v1 = (w<<31 | w>>33) * prime1
		w = v2 + binary.LittleEndian.Uint64(text[8:])*prime2
		v2 = (w<<31 | w>>33) * prime1
		w = v3 + binary.LittleEndian.Uint64(text[16:])*prime2
		v3 = (w<<31 | w>>33) * prime1
		w = v4 + binary.LittleEndian.Uint64(text[24:])*prime2
		v4 = (w<<31 | w>>33) * prime1
		text = text[32:]
	}
	mixed := (v1<<1 | v1>>63) + (v2<<7 | v2>>57) + (v3<<12 | v3>>52) + (v4<<18 | v4>>46)
	mixed = (mixed^round(0, v1))*prime1 + prime4
	mixed = (mixed^round(0, v2))*prime1 + prime4
	mixed = (mixed^round(0, v3))*prime1 + prime4
	mixed = (mixed^round(0, v4))*prime1 + prime4
	return finish(mixed+size, text)
}

// finish mixes what is left of the text, fewer than 32 bytes.
func finish(mixed uint64, text []byte) uint64 {
	var w uint64
	for len(text) >= 8 {
		w = binary.LittleEndian.Uint64(text) * prime2
		mixed = mixed ^ (w<<31|w>>33)*prime1
		mixed = (mixed<<27|mixed>>37)*prime1 + prime4
		text = text[8:]
	}
	if len(text) >= 4 {
		mixed = mixed ^ uint64(binary.LittleEndian.Uint32(text))*prime1
		mixed = (mixed<<23|mixed>>41)*prime2 + prime3
		text = text[4:]
	}
	for _, c := range text {
		mixed = mixed ^ uint64(c)*prime5
		mixed = (mixed<<11 | mixed>>53) * prime1
	}
	mixed = (mixed ^ mixed>>33) * prime2
	mixed = (mixed ^ mixed>>29) * prime3
	return mixed ^ mixed>>32
}
