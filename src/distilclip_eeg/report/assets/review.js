"use strict";
(() => {
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const items = data.events.length ? data.events : [[...data.moment, null, 1]];
const GAINS = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200];  // microvolts a millimetre
const MM = 96 / 25.4;                                              // pixels of one
const COLOUR = {smoothed: "#0072b2", raw: "#9fcbe8", band: "rgba(213, 94, 0, .2)", pale: "rgba(213, 94, 0, .08)", event: "#d55e00"};
const narrow = () => innerWidth < 600;
const pitch = () => narrow() ? 20 : 25;                            // pixels from row to row
const margin = () => narrow() ? 58 : 76;                           // for their names
const state = {event: 0, start: 0, length: narrow() ? 5 : 10, high: 0, low: 0, up: -1,
  gain: GAINS.find(g => g >= 7 && data.typical / g * MM <= pitch()) || GAINS.at(-1)};

// ------------------------------------------------------------------------------------------------ numbers

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
const curve = text => Float32Array.from(new Uint16Array(bytes(text)), v => v / data.curves.levels);
const raw = curve(data.curves.raw), smoothed = curve(data.curves.smoothed);
const clamp = (x, low, high) => Math.max(low, Math.min(x, Math.max(low, high)));

function clock(seconds, digits = 0) {
  const units = Math.round(seconds * 10 ** digits), part = units % 10 ** digits;
  const whole = (units - part) / 10 ** digits, two = n => String(n).padStart(2, "0");
  const text = `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return digits ? `${text}.${String(part).padStart(digits, "0")}` : text;
}

// The stretch of an event and its surroundings.
function reach(item) {
  const end = Math.min(item[1], item[0] + data.longest);
  return [Math.max(0, item[0] - data.context), Math.min(data.span, end + data.context)];
}

// A page's start, so that it lies within.
function held(item, start) {
  const [low, high] = reach(item);
  return clamp(start, low, high - state.length);
}

// Where an event is opened: just before its onset; and where all of its pages start.
const opening = item => held(item, item[0] - 2);

function pages(item) {
  const [low, high] = reach(item), starts = new Set([low]);
  for (let at = opening(item); at < high - 0.01; at += state.length) starts.add(held(item, at));
  return [...starts];
}

// ------------------------------------------------------------------------------------------------- signal

// One pole each: 6 dB an octave, over the past alone, beginning as if the first value had always stood.
function filtered(x, rate) {
  const out = Float32Array.from(x);
  if (state.high) {
    const a = Math.exp(-2 * Math.PI * state.high / rate);
    let slow = x[0];
    for (let i = 0; i < out.length; i++) { slow = a * slow + (1 - a) * x[i]; out[i] = x[i] - slow; }
  }
  if (state.low) {
    const a = Math.exp(-2 * Math.PI * state.low / rate);
    let kept = out[0];
    for (let i = 0; i < out.length; i++) { kept = a * kept + (1 - a) * out[i]; out[i] = kept; }
  }
  return out;
}

// Microvolts of a strip, a row a channel; decoded when it is first looked at, and the last few are kept.
const decoded = new Map();
function rows(strip) {
  const key = `${strip.start} ${state.high} ${state.low}`;
  if (!decoded.has(key)) {
    const steps = new Int16Array(bytes(strip.data));
    const uv = strip.step.map((step, c) =>
      filtered(Float32Array.from(steps.subarray(c * strip.n, (c + 1) * strip.n), v => v * step), strip.rate));
    if (decoded.size > 3) decoded.delete(decoded.keys().next().value);
    decoded.set(key, uv);
  }
  return decoded.get(key);
}

const end = strip => strip.start + strip.n / strip.rate;
const within = (from, to) => data.strips.filter(s => s.start < to && end(s) > from);

// ------------------------------------------------------------------------------------------------ drawing

// A canvas cleared for drawing from second `from` to `to`, with a margin for names at the left.
function sheet(id, from, to, below) {
  const canvas = $(id), width = canvas.clientWidth, height = canvas.clientHeight, dpr = devicePixelRatio || 1;
  canvas.width = Math.round(width * dpr);
  canvas.height = Math.round(height * dpr);
  const pen = canvas.getContext("2d"), left = margin(), right = width - 4;
  pen.scale(dpr, dpr);
  pen.font = "12px system-ui, sans-serif";
  pen.lineWidth = 1;
  const perSecond = (right - left) / (to - from);
  return {pen, width, height, left, right, bottom: height - below, from, to, perSecond,
    x: t => left + (t - from) * perSecond, t: x => from + (x - left) / perSecond};
}

function box(on, from, to, fill, top = 0) {
  const a = Math.max(on.left, on.x(from)), b = Math.min(on.right, on.x(to));
  if (b <= on.left || a >= on.right) return;
  on.pen.fillStyle = fill;
  on.pen.fillRect(a, top, Math.max(b - a, 1.5), on.bottom - top);
}

function hatched() {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.fillStyle = "#e6e6e6";
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = "#999";
  pen.lineWidth = 1.5;
  for (const k of [-8, 0, 8]) { pen.moveTo(k, 8); pen.lineTo(k + 8, 0); }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}
const HATCH = hatched();

function bands(on, colour = COLOUR.band) {
  for (const [from, to] of data.gaps) box(on, from, to, HATCH);
  for (const [from, to] of data.events) {
    box(on, from, to, colour);
    const a = Math.max(on.left, on.x(from)), b = Math.min(on.right, on.x(to));
    on.pen.fillStyle = COLOUR.event;
    if (b > on.left && a < on.right) on.pen.fillRect(a, 0, Math.max(b - a, 2), 4);
  }
}

function axis(on, digits) {
  const {pen} = on, steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
  const step = steps.find(s => s * on.perSecond >= 62) || 86400 * Math.ceil(62 / on.perSecond / 86400);
  pen.fillStyle = "#333";
  pen.strokeStyle = "#999";
  pen.textAlign = "center";
  pen.textBaseline = "top";
  pen.beginPath();
  for (let t = Math.ceil(on.from / step) * step; t <= on.to; t += step) {
    const x = on.x(t), half = pen.measureText(clock(t, digits)).width / 2;
    pen.moveTo(x, on.bottom);
    pen.lineTo(x, on.bottom + 4);
    if (x + half <= on.width && x - half >= 0) pen.fillText(clock(t, digits), x, on.bottom + 5);
  }
  pen.moveTo(on.left, on.bottom);
  pen.lineTo(on.right, on.bottom);
  pen.stroke();
}

// A curve in steps; of many values in one column of pixels the lowest and the highest are drawn.
function trace(on, values, colour, width, y) {
  const {pen} = on, hop = data.curves.hop;
  pen.save();
  pen.beginPath();
  pen.rect(on.left, 0, on.right - on.left, on.bottom + 2);
  pen.clip();
  pen.beginPath();
  for (const [start, first, stop] of data.curves.stretches) {
    const begin = clamp(first + Math.floor((on.from - start) / hop) - 1, first, stop);
    const last = clamp(first + Math.ceil((on.to - start) / hop) + 1, first, stop);
    const many = on.perSecond * hop < 0.7;
    let column = null, low = 0, high = 0, opened = false;
    const put = (x, v) => { opened ? pen.lineTo(x, y(v)) : pen.moveTo(x, y(v)); opened = true; };
    for (let i = begin; i < last; i++) {
      const t = start + (i - first) * hop, v = values[i], x = on.x(t);
      if (!many) { put(x, v); put(on.x(t + hop), v); continue; }
      if (Math.floor(x) === column) { low = Math.min(low, v); high = Math.max(high, v); continue; }
      if (column !== null) { put(column, low); put(column, high); }
      column = Math.floor(x);
      low = high = v;
    }
    if (column !== null) { put(column, low); put(column, high); }
  }
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
  pen.restore();
}

function probability(on) {
  const {pen} = on, y = v => on.bottom - v * (on.bottom - 8);
  bands(on);
  trace(on, raw, COLOUR.raw, 1, y);
  trace(on, smoothed, COLOUR.smoothed, 1.6, y);
  if (data.threshold !== null) {
    pen.setLineDash([5, 4]);
    pen.strokeStyle = "#000";
    pen.beginPath();
    pen.moveTo(on.left, y(data.threshold));
    pen.lineTo(on.right, y(data.threshold));
    pen.stroke();
    pen.setLineDash([]);
  }
  pen.fillStyle = "#333";
  pen.textAlign = "right";
  for (const [v, base] of [[0, "bottom"], [1, "top"]]) {
    pen.textBaseline = base;
    pen.fillText(v, on.left - 6, y(v) + (v ? -4 : 3));
  }
}

function drawOverview() {
  const on = sheet("overview", 0, data.span, 22);
  probability(on);
  axis(on, 0);
  const {pen} = on, a = on.x(state.start), b = Math.max(on.x(state.start + state.length), a + 2);
  pen.strokeStyle = "#000";
  pen.strokeRect(clamp(a, on.left, on.right) - 1, 0.5, b - a + 2, on.bottom);
  pen.fillStyle = "#000";
  pen.beginPath();
  pen.moveTo((a + b) / 2 - 5, on.bottom + 1);
  pen.lineTo((a + b) / 2 + 5, on.bottom + 1);
  pen.lineTo((a + b) / 2, on.bottom - 6);
  pen.fill();
}

function drawEeg() {
  const from = state.start, to = from + state.length, n = Math.max(data.channels.length, 1);
  $("eeg").style.height = `${(n + 1) * pitch() + 26}px`;
  const on = sheet("eeg", from, to, 20), {pen} = on;
  if (data.strips.length) {
    pen.fillStyle = "#f0f0f0";  // nothing kept, until a strip is laid over it
    pen.fillRect(on.left, 0, on.right - on.left, on.bottom);
  }
  for (const strip of within(from, to)) box(on, strip.start, end(strip), "#fff");
  bands(on, COLOUR.pale);
  pen.strokeStyle = "#ddd";
  pen.beginPath();
  for (let t = Math.ceil(from); t <= to; t++) { pen.moveTo(on.x(t), 0); pen.lineTo(on.x(t), on.bottom); }
  pen.stroke();
  pen.fillStyle = "#000";
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const middle = c => 6 + (c + 1) * pitch();
  data.channels.forEach((name, c) => pen.fillText(name, on.left - 5, middle(c), on.left - 8));
  const perMicrovolt = MM / state.gain;
  pen.save();
  pen.beginPath();
  pen.rect(on.left, 0, on.right - on.left, on.bottom);
  pen.clip();
  pen.lineWidth = narrow() ? 0.7 : 0.9;
  pen.strokeStyle = "#111";
  for (const strip of within(from, to)) {
    const first = clamp(Math.floor((from - strip.start) * strip.rate), 0, strip.n);
    const last = clamp(Math.ceil((to - strip.start) * strip.rate) + 1, 0, strip.n);
    rows(strip).forEach((uv, c) => {
      let sum = 0;
      for (let i = first; i < last; i++) sum += uv[i];
      const centre = sum / Math.max(last - first, 1);
      pen.beginPath();
      for (let i = first; i < last; i++) {
        const y = middle(c) - state.up * (uv[i] - centre) * perMicrovolt;
        pen.lineTo(on.x(strip.start + i / strip.rate), y);
      }
      pen.stroke();
    });
  }
  pen.restore();
  if (!within(from, to).length) {
    pen.fillStyle = "#333";
    pen.textAlign = "center";
    pen.fillText("no EEG is kept of this page", (on.left + on.right) / 2, on.bottom / 2);
  }
  scaleBar(on, perMicrovolt);
  axis(on, 0);
}

function scaleBar(on, perMicrovolt) {
  const {pen} = on, sizes = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
  const size = sizes.find(s => s * perMicrovolt >= 22) || 5000, tall = size * perMicrovolt;
  const x = on.right - 8, y = on.bottom - 6, text = `${size} \u00b5V`, wide = pen.measureText(text).width;
  pen.fillStyle = "rgba(255, 255, 255, .85)";
  pen.fillRect(x - wide - 10, y - tall - 3, wide + 16, tall + 6);
  pen.fillStyle = pen.strokeStyle = "#000";
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x, y - tall);
  pen.stroke();
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  pen.fillText(text, x - 5, y - tall / 2);
  $("scale").textContent = `${Math.round(on.perSecond / MM)} mm/s`;
}

// ------------------------------------------------------------------------------------------------- moving

function said() {
  const item = items[state.event];
  const length = item[1] - item[0], seconds = length < 100 ? length.toFixed(1) : Math.round(length);
  const name = data.events.length ? `Event ${state.event + 1} of ${items.length}` : "No event; most probable moment";
  const chance = item[2] === null ? "" : `, p ${item[2].toFixed(2)}`;
  $("where").textContent = `${name}: ${clock(item[0], 1)}, ${seconds} s${chance}`;
  $("said").textContent = state.note;
  const [low, high] = reach(item);
  Object.assign($("scroll"), {min: low, max: Math.max(low, high - state.length)});
  $("scroll").value = state.start;
  $("event-back").disabled = state.event === 0;
  $("event-on").disabled = state.event === items.length - 1;
  const starts = pages(item);
  $("page-back").disabled = state.event === 0 && state.start <= starts[0] + 0.01;
  $("page-on").disabled = state.event === items.length - 1 && state.start >= starts.at(-1) - 0.01;
  if (state.marked !== state.event) mark();
}

function mark() {
  const rows = $("rows").children, list = $("list"), row = rows[state.event];
  if (rows[state.marked]) rows[state.marked].className = "";
  state.marked = state.event;
  if (!row) return;
  row.className = "now";
  const top = row.offsetTop, head = 2 * row.offsetHeight;
  if (top < list.scrollTop + head || top > list.scrollTop + list.clientHeight - head) list.scrollTop = top - head;
}

function draw() {
  drawOverview();
  drawEeg();
  const on = sheet("near", state.start, state.start + state.length, 4);
  probability(on);
  said();
}

function go(event, start, note = "") {
  const item = items[event];
  Object.assign(state, {event, start: start === undefined ? opening(item) : held(item, start), note});
  draw();
}

function turnEvent(by) {
  const event = clamp(state.event + by, 0, items.length - 1);
  if (event !== state.event) go(event);
}

// The next page of this event, or the nearest one of the event beside it.
function turnPage(by) {
  const starts = pages(items[state.event]);
  const next = by > 0 ? starts.find(s => s > state.start + 0.01) : starts.findLast(s => s < state.start - 0.01);
  if (next !== undefined) return go(state.event, next);
  const event = state.event + by;
  if (items[event]) go(event, by > 0 ? pages(items[event])[0] : pages(items[event]).at(-1));
}

function turnGain(by) {
  state.gain = GAINS[clamp(GAINS.indexOf(state.gain) + by, 0, GAINS.length - 1)];
  $("gain").value = state.gain;
  draw();
}

// A click on the overview: the event there, or the nearest one where nothing is kept.
function jump(t) {
  const far = item => Math.max(item[0] - t, t - item[1], 0);
  const event = items.reduce((best, item, k) => far(item) < far(items[best]) ? k : best, 0);
  const [low, high] = reach(items[event]), start = opening(items[event]);
  if (t >= start && t < start + state.length) return go(event);
  if (t >= low && t <= high) return go(event, t - state.length / 2);
  const what = data.events.length ? "event" : "moment";
  go(event, undefined, `Around ${clock(t)} no EEG is kept; this is the nearest ${what}.`);
}

// ----------------------------------------------------------------------------------------------- controls

function choices(id, values, words, key, start) {
  for (const value of values) $(id).add(new Option(words(value), value, value === start, value === start));
  $(id).addEventListener("change", () => { state[key] = Number($(id).value); $(id).blur(); go(state.event, state.start); });
}
choices("gain", GAINS, v => `${v} \u00b5V/mm`, "gain", state.gain);
choices("length", [5, 10, 20], v => `${v} s`, "length", state.length);
choices("high", [0, 0.5, 1, 1.6, 5], v => v ? `${v} Hz` : "as kept", "high", 0);
choices("low", [0, 15, 30], v => v ? `${v} Hz` : "as kept", "low", 0);
choices("up", [], String, "up", -1);

$("event-back").onclick = () => turnEvent(-1);
$("event-on").onclick = () => turnEvent(1);
$("page-back").onclick = () => turnPage(-1);
$("page-on").onclick = () => turnPage(1);
$("scroll").oninput = () => go(state.event, Number($("scroll").value));
$("scroll").onchange = () => $("scroll").blur();
$("overview").onclick = click => {
  const left = margin(), right = $("overview").clientWidth - 4;
  jump(clamp((click.offsetX - left) / (right - left), 0, 1) * data.span);
};

const KEYS = {n: () => turnEvent(1), p: () => turnEvent(-1), ArrowRight: () => turnPage(1),
  ArrowLeft: () => turnPage(-1), "+": () => turnGain(-1), "=": () => turnGain(-1), "-": () => turnGain(1)};
addEventListener("keydown", press => {
  if (press.ctrlKey || press.altKey || press.metaKey || !KEYS[press.key]) return;
  if (["SELECT", "INPUT"].includes(press.target.tagName)) return;
  press.preventDefault();
  KEYS[press.key]();
});

const KEPT = ["none", "yes"];
const body = document.createDocumentFragment();
data.events.forEach(([from, to, chance, has], k) => {
  const row = document.createElement("tr");
  row.tabIndex = 0;
  const first = has && to - from > data.longest ? `first ${data.longest} s` : KEPT[has];
  for (const cell of [k + 1, clock(from, 1), clock(to, 1), `${(to - from).toFixed(1)} s`, chance.toFixed(2), first]) {
    row.insertCell().textContent = cell;
  }
  row.onclick = () => go(k);
  row.onkeydown = press => { if (press.key === "Enter") go(k); };
  body.append(row);
});
$("rows").append(body);
if (!data.events.length) $("list").hidden = true;
addEventListener("resize", draw);
go(Math.max(items.findIndex(item => item[3]), 0));
})();
