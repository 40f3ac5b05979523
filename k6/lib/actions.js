// What the action of a task says about the time that it takes.

/** Whether tasks take at least the time that they are given. One that calls another system takes as long as that does. */
export function takesItsTime(action) {
  return action !== 'http';
}

/** Whether they take that time and no more, whatever else the machine does. */
export function takesOnlyItsTime(action) {
  return action === 'delay' || action === 'block';
}
