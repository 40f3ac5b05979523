// The lanes a task can take through the gateway. Everything else (settings, plan, requests, report) reads this table,
// so that a further lane is one further entry.

/**
 * What one lane is.
 *
 * - `path`, `headers`: the request. The body is the same on every lane.
 * - `statuses`: the HTTP statuses that mean success; `accepts` then looks at the decoded answer.
 * - `holdSeconds`: how long one request is expected to occupy a virtual user (VU), from the task's own time. A lane
 *   that waits for the work holds its VU for all of it; a lane that does not wait holds it for a confirmed publish.
 * - `waits`: whether the answer comes only after the work is done.
 * - `verb`: what the gateway did with a request that succeeded, for sentences in the report.
 * - `colour`: the lane's one colour, on light and on dark.
 */
export const lanes = {
  sync: {
    path: '/v1/sync',
    headers: {},
    statuses: [200],
    accepts: (answer) => answer.status === 'completed',
    waits: true,
    holdSeconds: (taskSeconds) => taskSeconds,
    verb: 'finished',
    colour: { light: '#c2570c', dark: '#f59e42' },
  },
  async: {
    path: '/v1/async',
    headers: {},
    statuses: [202],
    accepts: (answer) => typeof answer.id === 'string' && answer.id !== '',
    waits: false,
    holdSeconds: () => 0.1,
    verb: 'accepted',
    colour: { light: '#2563c9', dark: '#6ea8fe' },
  },
};

/** The names of all lanes, in the order of the table. */
export const laneNames = Object.keys(lanes);
