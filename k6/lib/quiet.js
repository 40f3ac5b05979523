// When books may be believed. A gateway knows of the tasks that it accepted itself since it started, and of the
// outcomes of all. Alone and never restarted it knows what is open; else only time tells, without further outcomes.

/** The steps of the worker's retries, in seconds: for so long a task that failed may be neither done nor at work. */
const retries = 1 + 5 + 30;

/** The share of a step's tasks that a gateway must have accepted to count as the only one; a few may be dropped. */
const whole = 0.9;

/** What a reader has seen of a step's books so far: nothing. */
export function unseen() {
  return { at: 0, settled: -1, since: 0, accepted: 0, fell: false, short: false };
}

/** How many tasks a step that lasted so many seconds can be expected to have had accepted. */
export function tasksDue({ rps, predictedDrop }, seconds) {
  return rps * seconds * (1 - (predictedDrop || 0));
}

/** Whether nothing is open any more, as far as the gateway that answered knows. */
export function nothingOpen(answer) {
  return answer.caught_up === true && answer.settled >= answer.accepted_here;
}

/**
 * Takes a reading into what was seen. `due` is how many tasks the step should have had accepted; `at` becomes the time of
 * the reading, and `since` when the same books were first seen with nothing open, 0 while something is.
 */
export function see(seen, answer, due, now) {
  const restarted = answer.accepted_here < seen.accepted;
  if (!nothingOpen(answer)) {
    seen.since = 0;
  } else if (seen.since === 0 || restarted || answer.settled !== seen.settled) {
    seen.since = now;
  }
  seen.at = now;
  seen.settled = answer.settled;
  seen.accepted = answer.accepted_here;
  seen.fell = seen.fell || restarted;
  seen.short = answer.accepted_here < Math.max(answer.settled, due * whole);
}

/**
 * For how many seconds books with nothing open may not change before they are believed: a task and a second. Where the
 * gateway has lost its count, or never had that of the whole step, a task may be waiting for its last retry besides.
 */
export function quietSeconds(seen, settings) {
  return settings.taskMs / 1000 + 1 + (knowsAll(seen) ? 0 : retries);
}

/** Whether tasks are open, or may be without the gateway knowing of them. */
export function mayBeOpen(seen) {
  return seen.since === 0 || !knowsAll(seen);
}

function knowsAll({ fell, short }) {
  return !fell && !short;
}

/** Whether books that were read at `from` (milliseconds since the epoch) or later may be believed. */
export function isSettled(seen, from, settings) {
  return seen.since !== 0 && seen.at >= from && seen.at - seen.since >= quietSeconds(seen, settings) * 1000;
}
