// How long tasks wait for a worker that does so many at once: the formulas of `worker size`, in JavaScript. The vectors in
// k6/test/queueing.json hold both to the same figures.

/** The share of the servers that a load keeps busy. From 1 on the line grows for as long as the load lasts. */
export function utilisation({ rate, taskSeconds, servers }) {
  return (rate * taskSeconds) / servers;
}

/**
 * The waiting times of a line in front of servers, where tasks arrive independently of each other: the `probability` that
 * a task waits at all, and the `mean` over all tasks in seconds. `constant` tasks are all alike (M/D/c); others are mostly
 * short and some long (M/M/c). Null where the servers are too few, for then there is no answer that lasts.
 */
export function waits({ rate, taskSeconds, servers, constant = false }) {
  const busy = utilisation({ rate, taskSeconds, servers });
  if (busy >= 1) {
    return null;
  }
  const load = rate * taskSeconds;
  const blocked = erlangB(load, servers);
  const probability = (servers * blocked) / (servers - load * (1 - blocked));
  const mean = (probability * taskSeconds) / (servers - load);
  return { probability, mean: constant ? mean * constantShare(servers, busy) : mean };
}

/** The waiting time in seconds that so many per cent of the tasks do not exceed. It is approximate for constant tasks. */
export function waitAt({ probability, mean }, percentile) {
  const exceed = 1 - percentile / 100;
  return probability <= exceed ? 0 : (Math.log(probability / exceed) * mean) / probability;
}

/**
 * What a line grows to where tasks come faster than they are done, from empty servers and at an even pace for so many
 * seconds: each is taken a round of tasks later than the one before it by what that round was too slow. `mean` and
 * `last` are the waits in seconds, of which every one between them is as likely; `drain` is from the last arrival to the
 * last completion.
 */
export function backlog({ rate, taskSeconds, servers }, seconds) {
  const over = Math.max(0, 1 - servers / (rate * taskSeconds));
  const rounds = Math.max(0, (rate * seconds) / servers - 1);
  const last = rounds * taskSeconds * over;
  return { mean: last / 2, last, drain: last + taskSeconds };
}

/**
 * The share that servers would turn away if none could wait: A. K. Erlang's first formula (1917), from the one server to
 * all. Its terms are positive and stay below 1, so that it neither overflows nor cancels out.
 */
function erlangB(load, servers) {
  let blocked = 1;
  for (let n = 1; n <= servers; n += 1) {
    blocked = (load * blocked) / (n + load * blocked);
  }
  return blocked;
}

/**
 * The mean wait of constant tasks as a share of that of exponential ones: half of it, and somewhat more where many servers
 * have little to do. The correction is G. P. Cosmetatos's (1975), with the bound that W. Whitt gave it (1993).
 */
function constantShare(servers, busy) {
  const more = ((1 - busy) * (servers - 1) * (Math.sqrt(4 + 5 * servers) - 2)) / (16 * servers * busy);
  return 0.5 * (1 + Math.min(more, 0.24));
}
