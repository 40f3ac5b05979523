// Numbers as people read them. Whoever has no number (null) gets a dash.

const none = '–';

/** A whole number with commas between thousands: 12001 is 12,001. */
export function count(value) {
  return value === null ? none : String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A number with no more decimals than it needs, three at most. */
export function plain(value) {
  return String(Math.round(value * 1000) / 1000);
}

/** A time given in milliseconds, with three figures or so: 2.41 ms, 64 ms, 1.00 s. */
export function time(ms) {
  if (ms === null) {
    return none;
  }
  if (ms >= 999.5) {
    return `${(ms / 1000).toFixed(ms >= 9995 ? 1 : 2)} s`;
  }
  return `${ms.toFixed(ms >= 99.5 ? 0 : ms >= 9.95 ? 1 : 2)} ms`;
}

/** A time given in whole milliseconds, as exactly as it was set: 250 ms, 1 s, 1.5 s. */
export function exactTime(ms) {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}

/** A rate a second: 99.7/s, 1,250/s. */
export function rate(perSecond) {
  if (perSecond === null) {
    return none;
  }
  const rounded = perSecond >= 999.5 || Math.abs(perSecond - Math.round(perSecond)) < 0.05;
  return `${rounded ? count(perSecond) : perSecond.toFixed(1)}/s`;
}

/** A share between 0 and 1 as a percentage: 0 %, 2.97 %, 75.0 %. What is not nothing is never written as 0 %. */
export function share(value) {
  return value === null ? none : `${percent(value)} %`;
}

/** A share as share writes it, without the sign, for tables that have it in their heading. */
export function percent(value) {
  if (value === null) {
    return none;
  }
  const hundredths = value * 100;
  if (hundredths === 0 || hundredths === 100) {
    return String(hundredths);
  }
  return hundredths < 0.01 ? '< 0.01' : hundredths.toFixed(hundredths < 9.995 ? 2 : hundredths < 100 ? 1 : 0);
}

/** How many times one number is another: 416, 4.0, 1.3. */
export function times(factor) {
  return factor >= 9.95 ? count(factor) : factor.toFixed(1);
}

/** A size in bytes, in the unit that machines are sold by: 23.5 GiB. */
export function memory(bytes) {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${count(bytes / 2 ** 20)} MiB`;
}

/** A span of seconds: 45 s, 8 min 48 s. */
export function span(seconds) {
  const whole = Math.round(seconds);
  const rest = `${whole % 60} s`;
  return whole < 60 ? rest : `${Math.floor(whole / 60)} min${whole % 60 === 0 ? '' : ` ${rest}`}`;
}

/** A moment given in ISO 8601, to the minute: 2026-01-31 23:59 UTC. */
export function moment(iso) {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

/** Text that begins as sentences do. */
export function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** A noun with its number: 1 step, 16 steps. */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}

/** Names joined as in a sentence: a, b and c. */
export function listing(names) {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`;
}
