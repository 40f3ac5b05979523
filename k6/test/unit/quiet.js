import { isSettled, mayBeOpen, nothingOpen, quietSeconds, see, tasksDue, unseen } from '../../lib/quiet.js';
import { planSteps } from '../../lib/steps.js';
import { equal, test } from '../harness.js';
import { answer, settingsOf } from '../fixture.js';

const settings = settingsOf({ TASK_MS: '12000' });
const long = 12 + 1 + 36;

/** What is seen after these answers of a step that was to have `due` tasks, one second after the other. */
function after(due, ...answers) {
  const seen = unseen();
  answers.forEach((each, i) => see(seen, each, due, (i + 1) * 1000));
  return seen;
}

/** An answer with so many acceptances and outcomes. */
const read = (accepted, settled) => answer(settled, { accepted_here: accepted });

export function quietTests() {
  test('nothing is open once all that this gateway accepted is settled and it has read what there is', () => {
    equal([nothingOpen(answer(5)), nothingOpen(answer(5, { accepted_here: 6 })), nothingOpen(answer(5, { caught_up: false }))], [true, false, false]);
    equal([nothingOpen(answer(4, { dead: 1, accepted_here: 5 })), nothingOpen(answer(7, { accepted_here: 5 }))], [true, true]);
  });

  test('a gateway that knows of all tasks is believed after the time of one', () => {
    const seen = after(100, read(100, 98), read(100, 100));
    equal([quietSeconds(seen, settings), seen.since, mayBeOpen(seen)], [13, 2000, false]);
    equal(quietSeconds(after(100, read(90, 90)), settings), 13); // A few may be dropped or refused.
  });

  test('a gateway that forgot what it accepted is believed later, even when it counts again', () => {
    const seen = after(100, read(100, 0), read(0, 0));
    equal([quietSeconds(seen, settings), seen.since, mayBeOpen(seen)], [long, 2000, true]);
    equal(quietSeconds(after(100, read(110, 0), read(100, 100)), settings), long);
    equal(after(100, read(100, 100), read(95, 100), read(95, 100)).since, 2000); // The quiet begins with the fall, once.
    equal(isSettled(after(100, read(100, 0), ...Array(long + 1).fill(read(0, 0))), 0, settings), true);
  });

  test('one that accepted too few, or fewer than were done, is believed later', () => {
    equal(quietSeconds(after(100, read(0, 0)), settings), long);
    equal(quietSeconds(after(100, read(89, 89)), settings), long);
    equal(quietSeconds(after(100, read(95, 96)), settings), long);
    equal(quietSeconds(after(100, read(50, 0), read(100, 100)), settings), 13);
  });

  test('books are settled when they have been quiet for long enough', () => {
    const seen = after(100, read(100, 99), read(100, 100));
    const at = (now, from = 0) => {
      see(seen, read(100, 100), 100, now);
      return isSettled(seen, from, settings);
    };
    equal([at(14999), at(15000, 15001), at(15000)], [false, false, true]);
    see(seen, read(100, 101), 100, 16000); // An outcome more: the time begins anew, and is longer.
    equal([isSettled(seen, 0, settings), seen.since], [false, 16000]);
    see(seen, read(100, 101), 100, 16000 + long * 1000);
    equal(isSettled(seen, 0, settings), true);
  });

  test('a step should have as many tasks accepted as it sends, less what must be dropped', () => {
    const [async, wait] = planSteps(settingsOf({ RPS: '200', LANES: 'async,wait', TASK_MS: '1000', VUS: '100' }));
    equal([tasksDue(async, 30), tasksDue(wait, 30)], [6000, 3000]);
  });
}
