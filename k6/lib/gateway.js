// What has to be true of the gateway before any load is sent. A run that cannot be measured is ended here.

import exec from 'k6/execution';
import http from 'k6/http';
import { sleep } from 'k6';

import { askBooks } from './reader.js';

const patience = 60; // seconds that a gateway which has just started may take to read the outcomes that there are

/** Asks the gateway for its own description and returns the version of k6, which only a request's headers tell. */
export function requireGateway({ gatewayUrl }) {
  const url = `${gatewayUrl}/openapi.yaml`;
  let response;
  try {
    response = http.get(url, { throw: true, timeout: '5s', tags: { name: '/openapi.yaml' } });
  } catch (error) {
    exec.test.abort(`No gateway at ${gatewayUrl} (GATEWAY_URL): ${error.message}. ` +
      'Start the system first, with `make up` or `make local`.');
  }
  if (response.status !== 200) {
    exec.test.abort(`What answers at ${gatewayUrl} (GATEWAY_URL) is not a ready Twinlane gateway: ` +
      `GET /openapi.yaml gave ${response.status}.`);
  }
  const agent = String(response.request.headers['User-Agent']);
  return agent.includes('/') ? agent.split('/').pop() : 'unknown';
}

/** Checks that the gateway keeps books, and that those of this run's steps are still empty. */
export function requireBooks(run, steps, settings) {
  const deadline = Date.now() + patience * 1000;
  for (const step of steps.filter(({ books }) => books)) {
    const answer = emptyBooks(run, step, settings, deadline);
    if (answer.accepted_here > 0 || answer.settled > 0) {
      exec.test.abort(`RUN=${run}: the gateway has books of this run already; choose another id.`);
    }
  }
}

/** The books of a step as they are before the run. A 503 says that the gateway does not know them yet. */
function emptyBooks(run, step, settings, deadline) {
  for (;;) {
    const { status, answer } = askBooks(run, step, settings);
    if (answer !== null) {
      return answer;
    }
    if (status !== 503 || Date.now() >= deadline) {
      exec.test.abort(`The gateway at ${settings.gatewayUrl} (GATEWAY_URL) does not tell what became of the tasks it accepts: ` +
        `GET /v1/runs/{run} gave ${status === 0 ? 'no answer' : status}. BOOKS=off sends the load without asking it.`);
    }
    sleep(0.5);
  }
}
