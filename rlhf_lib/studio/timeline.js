// Finds a moment of one edit in another edit by its beat in the song. It needs no browser.
//
// A timeline is {beats, starts}: the song's beats in the order in which the edit plays them, and
// the second at which each of them starts in the edit's sound, followed by the end of the sound.

export const SIDES = ["O", "A", "B"]; // the original, and the two edits as they are shown

export const duration = (timeline) => timeline.starts[timeline.starts.length - 1];

/** The place in playing order of the beat that sounds at `seconds`; the ends are clamped. */
export function placeAt(timeline, seconds) {
  let low = 0;
  let high = timeline.beats.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (timeline.starts[middle] <= seconds) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The seconds at which the edit leaves the order of the song. */
export const seamsOf = (timeline) =>
  timeline.starts.filter(
    (_, place) =>
      place > 0 &&
      place < timeline.beats.length &&
      timeline.beats[place] !== timeline.beats[place - 1] + 1,
  );

/** Runs of beats that follow each other in the song: [first place, place after the last]. */
export function segmentsOf(timeline) {
  const runs = [];
  timeline.beats.forEach((beat, place) => {
    if (place && beat === timeline.beats[place - 1] + 1) runs[runs.length - 1][1] = place + 1;
    else runs.push([place, place + 1]);
  });
  return runs;
}

/**
 * The moment of `to` that holds the same beat of the song as `seconds` of `from`.
 *
 * A repeated beat is matched at the same repetition, or at the last one. A beat that `to` lacks
 * is replaced by the next one that it has (at the end of the song, by the last one before), at the
 * same fraction of the beat, so that the pulse continues. `exact` is true if `to` has the beat.
 */
export function sameMoment(from, to, seconds) {
  const place = placeAt(from, seconds);
  const beat = from.beats[place];
  const into = Math.max(0, seconds - from.starts[place]);
  const repetition = from.beats.slice(0, place).filter((other) => other === beat).length;
  const found = to.beats.flatMap((other, index) => (other === beat ? [index] : []));
  if (found.length) {
    const target = found[Math.min(repetition, found.length - 1)];
    return { seconds: Math.min(to.starts[target] + into, duration(to)), exact: true };
  }
  const fraction = Math.min(1, into / (from.starts[place + 1] - from.starts[place]));
  const later = to.beats.filter((other) => other > beat);
  const wanted = later.length ? Math.min(...later) : Math.max(...to.beats);
  const target = later.length ? to.beats.indexOf(wanted) : to.beats.lastIndexOf(wanted);
  const length = to.starts[target + 1] - to.starts[target];
  return { seconds: to.starts[target] + fraction * length, exact: false };
}
