// Reads the books of steps from a gateway while the load runs, and hands them to k6 as the gauge `books`.

import http from 'k6/http';
import { sleep } from 'k6';
import { Gauge } from 'k6/metrics';

import { booksURL, figuresOf } from './books.js';
import { isSettled, mayBeOpen, see, tasksDue, unseen } from './quiet.js';

const pause = 0.5; // seconds between two readings

const gauge = new Gauge('books');

/** Asks for the books of a step. Returns `{ status, answer }`: 0 for no answer, and null where it holds no books. */
export function askBooks(run, step, settings) {
  try {
    const response = http.get(booksURL(run, step, settings), {
      throw: true, timeout: '5s', responseType: 'text', tags: { name: '/v1/runs/{run}' },
    });
    return { status: response.status, answer: response.status === 200 ? JSON.parse(response.body) : null };
  } catch {
    return { status: 0, answer: null };
  }
}

/**
 * Reads the books of steps until all of them are settled (see quiet.js), or BOOKS_TIMEOUT is over. `ended(step)` and
 * `from(step)` say in milliseconds since the epoch when a step ended and when its reading may end at the earliest, and
 * `lasted(step)` for how many seconds it ran. `open` is called once, where tasks are open or may be when a reading
 * might have ended.
 */
export function readBooks(run, steps, settings, { reading, ended, lasted, from, open }) {
  const until = (step) => ended(step) + settings.booksTimeout * 1000;
  let left = steps.map((step) => ({ step, ended: ended(step), due: tasksDue(step, lasted(step)), seen: unseen(), told: false }));
  while (left.length > 0) {
    for (const entry of left) {
      const { status, answer } = askBooks(run, entry.step, settings);
      if (answer !== null) {
        note(entry, answer, reading);
      } else if (status === 0) {
        break; // The others would wait for this gateway as well.
      }
    }
    const now = Date.now();
    left = left.filter(({ step, seen }) => !isSettled(seen, from(step), settings) && now < until(step));
    for (const entry of left.filter(({ step, told, seen }) => !told && mayBeOpen(seen) && now >= from(step))) {
      entry.told = true;
      open(entry.step, (until(entry.step) - now) / 1000, entry.seen.since === 0);
    }
    if (left.length > 0) {
      sleep(pause);
    }
  }
}

/** Takes a reading into what was seen of a step, and into the metrics. */
function note({ step, ended, due, seen }, answer, reading) {
  see(seen, answer, due, Date.now());
  const after = (at) => Math.max(0.001, (at - ended) / 1000);
  const settledAfter = seen.since === 0 ? 0 : after(seen.since);
  const found = [...figuresOf(answer), ['settled_after', settledAfter], ['read_after', after(seen.at)]];
  const { name, lane, rps } = step;
  for (const [figure, value] of found) {
    gauge.add(value, { step: name, lane, rps: String(rps), reading, figure });
  }
}
