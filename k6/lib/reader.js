// Reads the books of steps from a gateway while the load runs, and hands them to k6 as the gauge `books`.

import http from 'k6/http';
import { sleep } from 'k6';
import { Gauge } from 'k6/metrics';

import { booksURL, figuresOf, nothingOpen } from './books.js';

const pause = 0.5; // seconds between two readings
const quiet = 1; // seconds for which balanced books may not change before they are believed

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
 * Reads the books of steps until all of them are settled, or each has had its time. `from(step)` and `until(step)` say
 * in milliseconds since the epoch when its reading may end at the earliest and has to at the latest; `open` is called
 * once, where books are not settled when their reading might have ended.
 *
 * Books are settled when the gateway knows of no open task and no outcome has come for a moment: each of several
 * gateways knows only the tasks that it accepted itself, but the outcomes of all.
 */
export function readBooks(run, steps, settings, { reading, from, until, open }) {
  let left = steps.map((step) => ({ step, begun: Date.now(), at: 0, settled: -1, since: 0, told: false }));
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
    left = left.filter((entry) => !isSettled(entry, from(entry.step)) && now < until(entry.step));
    for (const entry of left.filter(({ step, told, since }) => !told && since === 0 && now >= from(step))) {
      entry.told = true;
      open(entry.step, (until(entry.step) - now) / 1000);
    }
    if (left.length > 0) {
      sleep(pause);
    }
  }
}

/**
 * Takes a reading into an entry and into the metrics. `at` is when it was taken, and `since` when the same books were
 * first seen with nothing open; 0 while something is.
 */
function note(entry, answer, reading) {
  entry.at = Date.now();
  if (!nothingOpen(answer)) {
    entry.since = 0;
  } else if (entry.since === 0 || answer.settled !== entry.settled) {
    entry.since = entry.at;
  }
  entry.settled = answer.settled;
  const settledAfter = entry.since === 0 ? 0 : Math.max(0.001, (entry.since - entry.begun) / 1000);
  const found = [...figuresOf(answer), ['settled_after', settledAfter]];
  const { name, lane, rps } = entry.step;
  for (const [figure, value] of found) {
    gauge.add(value, { step: name, lane, rps: String(rps), reading, figure });
  }
}

function isSettled({ at, since }, from) {
  return since !== 0 && at >= from && at - since >= quiet * 1000;
}
