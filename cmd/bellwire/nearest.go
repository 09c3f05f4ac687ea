package main

import "strings"

// didYouMean offers the setting that is nearest to an unknown key: the same last word in another section, else few
// letters away.
func didYouMean(unknown string) string {
	var keys []string
	for _, row := range settingTable {
		keys = append(keys, row.key)
		if section := row.section(); section != "" {
			keys = append(keys, section)
		}
	}
	if best := nearest(unknown, keys); best != "" {
		return ": is " + best + " meant?"
	}
	return ": `bellwire config init` lists them all"
}

// nearest is the first of the keys that are nearest to an unknown one, or nothing if none is near.
func nearest(unknown string, keys []string) string {
	best, distance := "", len(unknown)/3+2
	for _, key := range keys {
		if d := keyDistance(unknown, key); d < distance {
			best, distance = key, d
		}
	}
	return best
}

// keyDistance is the edit distance; a key in a wrong section, or with - for _, is as near as one wrong letter.
func keyDistance(a, b string) int {
	a, b = strings.ReplaceAll(a, "-", "_"), strings.ReplaceAll(b, "-", "_")
	if lastWord(a) == lastWord(b) {
		return 1
	}
	return editDistance(a, b)
}

func lastWord(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// editDistance counts the letters to insert, delete or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
