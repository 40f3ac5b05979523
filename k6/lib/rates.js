// The notation of rates: a list such as 50,100,200, a range such as 50..400:50 (from..to:step), or both mixed.

const highest = 20000;
const form = 'use rates such as 50,100,200 or a range such as 50..400:50, ' +
  `each a whole number of requests a second from 1 to ${highest}`;

/** Reads rates. Returns `{ rates, problem }`: the rates in rising order, and what is allowed where text is not. */
export function parseRates(text) {
  const rates = [];
  for (const part of text.split(',')) {
    const expanded = expand(part.trim());
    if (expanded === null) {
      return { rates: [], problem: form };
    }
    rates.push(...expanded);
  }
  rates.sort((a, b) => a - b);
  const twice = rates.find((rate, i) => rate === rates[i - 1]);
  if (twice !== undefined) {
    return { rates: [], problem: `the rate ${twice} is named twice; name each once` };
  }
  return { rates, problem: '' };
}

function expand(part) {
  const range = /^(\d{1,5})\.\.(\d{1,5}):(\d{1,5})$/.exec(part);
  if (range === null) {
    return /^\d{1,5}$/.test(part) && allowed(Number(part)) ? [Number(part)] : null;
  }
  const [from, to, step] = range.slice(1).map(Number);
  if (!allowed(from) || !allowed(to) || from > to || step < 1) {
    return null;
  }
  const rates = [];
  for (let rate = from; rate <= to; rate += step) {
    rates.push(rate);
  }
  return rates;
}

function allowed(rate) {
  return rate >= 1 && rate <= highest;
}
