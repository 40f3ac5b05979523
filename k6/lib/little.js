// Little's law for a load generator: busy VUs = request rate x time that a request holds its VU.

/** The highest rate, in requests a second, that a number of VUs can send when each is held for so many seconds. */
export function highestRate(vus, holdSeconds) {
  return holdSeconds > 0 ? vus / holdSeconds : Infinity;
}

/** The share of a step's requests that cannot be sent because every VU is still held by an earlier one. */
export function predictedDrop(vus, rate, holdSeconds) {
  return Math.max(0, 1 - highestRate(vus, holdSeconds) / rate);
}

/** VUs that a rate needs, with a quarter and 50 more to spare, so that slow moments of the machine do not drop. */
export function neededVUs(rate, holdSeconds) {
  return Math.ceil(rate * holdSeconds * 1.25) + 50;
}
