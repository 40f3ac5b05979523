// The lanes a task can take through the gateway. Everything else (settings, plan, requests, report) reads this table,
// so that a further lane is one further entry.

/** How long the gateway holds an answer for a result at most, in seconds. */
export const longestWait = 30;

/**
 * What one lane is.
 *
 * - `path`, `headers`: the request. The body is the same on every lane.
 * - `statuses`: the HTTP statuses that mean success; `accepts` then looks at the decoded answer.
 * - `late`: the HTTP statuses that mean a success that was not there in time.
 * - `holdSeconds`: how long one request is expected to occupy a virtual user (VU), from the task's own time. A lane
 *   that waits for the work holds its VU for all of it; a lane that does not wait holds it for a confirmed publish.
 * - `waits`: whether the answer comes only after the work is done.
 * - `queued`: whether the task goes through the queue, so that its outcome is in the books of the run.
 * - `verb`: what the gateway did with a request that succeeded, for sentences in the report.
 * - `colour`: the lane's one colour, on light and on dark.
 */
export const lanes = {
  sync: {
    path: '/v1/sync',
    headers: {},
    statuses: [200],
    late: [],
    accepts: (answer) => answer.status === 'completed',
    waits: true,
    queued: false,
    holdSeconds: (taskSeconds) => taskSeconds,
    verb: 'finished',
    colour: { light: '#c2570c', dark: '#f59e42' },
  },
  async: {
    path: '/v1/async',
    headers: {},
    statuses: [202],
    late: [],
    accepts: (answer) => typeof answer.id === 'string' && answer.id !== '',
    waits: false,
    queued: true,
    holdSeconds: () => 0.1,
    verb: 'accepted',
    colour: { light: '#2563c9', dark: '#6ea8fe' },
  },
  wait: {
    path: '/v1/async',
    headers: { Prefer: `wait=${longestWait}` },
    statuses: [200],
    late: [202],
    accepts: (answer) => answer.status === 'completed',
    waits: true,
    queued: true,
    holdSeconds: (taskSeconds) => taskSeconds,
    verb: 'finished',
    colour: { light: '#0c7d74', dark: '#4fd0bf' },
  },
};

/** The names of all lanes, in the order of the table. */
export const laneNames = Object.keys(lanes);
