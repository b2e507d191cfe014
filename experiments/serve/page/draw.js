// The draw page: keeps the strokes, sends what is drawn, shows what comes back.

const size = 280; // width and height of the drawing that is sent, in pixels
const step = 10; // of the pen that the arrow keys move
const quiet = 700; // milliseconds without a stroke before the answer is spoken

const $ = (id) => document.getElementById(id);
const screen = $("drawing");
const paper = Object.assign(document.createElement("canvas"), { width: size, height: size });
const ink = paper.getContext("2d", { willReadFrequently: true });

let strokes = []; // { width, points: [[x, y], ...] }, in pixels of the paper
let picture = null; // { file, bitmap } under the strokes
let pointer = null; // of the stroke that is being drawn
let pen = null; // of the keys: { x, y, stroke }
let version = 0; // of the drawing
let network = null;

const empty = () => strokes.length === 0 && !picture;

// Drawing.

function paint(context, colour) {
  if (picture) {
    const { width, height } = picture.bitmap;
    const scale = Math.min(size / width, size / height);
    context.fillStyle = "white";
    context.fillRect(0, 0, size, size);
    context.drawImage(picture.bitmap, (size - width * scale) / 2, (size - height * scale) / 2, width * scale, height * scale);
    colour = "black";
  }
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = colour;
  for (const { width, points } of strokes) {
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(...points[0]);
    for (let i = 1; i < points.length - 1; i++) {
      const [x, y] = points[i], [nextX, nextY] = points[i + 1];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    context.lineTo(...points.at(-1));
    context.stroke();
  }
}

function redraw() {
  const side = Math.round(screen.clientWidth * devicePixelRatio);
  if (screen.width !== side) screen.width = screen.height = side;
  const context = screen.getContext("2d");
  const colour = getComputedStyle(screen).color;
  context.setTransform(side / size, 0, 0, side / size, 0, 0);
  context.clearRect(0, 0, size, size);
  paint(context, colour);
  if (pen) {
    context.lineWidth = 2;
    context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--best");
    context.beginPath();
    context.arc(pen.x, pen.y, $("width").value / 2 + 2, 0, 7);
    context.stroke();
  }
  ink.fillStyle = "white";
  ink.fillRect(0, 0, size, size);
  paint(ink, "black");
  $("invitation").hidden = !empty() || pen !== null;
  $("undo").disabled = $("clear").disabled = $("download").disabled = empty();
}

function changed() {
  version++;
  $("saved").textContent = "";
  redraw();
  classify();
}

function undo() {
  if (strokes.length > 0) strokes.pop();
  else picture = null;
  if (pen) pen.stroke = null;
  changed();
}

function clear() {
  strokes = [];
  picture = null;
  if (pen) pen.stroke = null;
  changed();
}

function begin(x, y) {
  const stroke = { width: Number($("width").value), points: [[x, y]] };
  strokes.push(stroke);
  return stroke;
}

const position = (event) => {
  const box = screen.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * size, (event.clientY - box.top) / box.height * size];
};

screen.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  pointer = event.pointerId;
  screen.setPointerCapture(pointer);
  pen = null;
  begin(...position(event));
  changed();
});
screen.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  const events = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1)?.points.push(...(events.length > 0 ? events : [event]).map(position));
  changed();
});
for (const name of ["pointerup", "pointercancel"]) {
  screen.addEventListener(name, (event) => {
    if (event.pointerId === pointer) pointer = null;
  });
}

const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
screen.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = arrows[event.key];
  if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else if (arrow || event.key === " " || event.key === "Enter") {
    pen ??= { x: size / 2, y: size / 2, stroke: null };
    if (arrow) {
      const by = event.shiftKey ? step / 4 : step;
      pen.x = Math.min(size, Math.max(0, pen.x + by * arrow[0]));
      pen.y = Math.min(size, Math.max(0, pen.y + by * arrow[1]));
      pen.stroke?.points.push([pen.x, pen.y]);
    } else {
      pen.stroke = pen.stroke ? null : begin(pen.x, pen.y);
      $("spoken").textContent = pen.stroke ? "pen down" : "pen up";
    }
    if (pen.stroke) changed();
    else redraw();
  } else {
    return;
  }
  event.preventDefault();
});
screen.addEventListener("blur", () => {
  pen = null;
  redraw();
});
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !empty()) {
    event.preventDefault();
    undo();
  }
});
$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", clear);
new ResizeObserver(redraw).observe(screen);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// Image files.

async function open(file) {
  if (!file) return;
  // What the browser cannot show, the server may still read.
  const bitmap = await createImageBitmap(file).catch(() => new ImageData(1, 1));
  strokes = [];
  picture = { file, bitmap: bitmap instanceof ImageData ? await createImageBitmap(bitmap) : bitmap };
  changed();
}
$("open").addEventListener("change", (event) => {
  open(event.target.files[0]);
  event.target.value = "";
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  open(event.dataTransfer.files[0]);
});
$("download").addEventListener("click", () => paper.toBlob((blob) => {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "drawing.png" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}));

// Asking the server.

// The drawing as one grey byte per pixel; a file as it is, until something is drawn on it.
async function send(path, query = {}) {
  let body = picture?.file;
  if (!body || strokes.length > 0) {
    const { data } = ink.getImageData(0, 0, size, size);
    body = new Uint8Array(size * size);
    for (let i = 0; i < body.length; i++) body[i] = (77 * data[4 * i] + 150 * data[4 * i + 1] + 29 * data[4 * i + 2]) >> 8;
    query = { ...query, width: size, height: size };
  }
  const response = await fetch(`${path}?${new URLSearchParams(query)}`, { method: "POST", body }).catch(() => {
    throw new Error("The server does not answer. Is epochal serve still running?");
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// One request at a time, and then one for whatever was drawn meanwhile.
let answering = false, answered = -1, speaking;
async function classify() {
  if (answering || !network) return;
  answering = true;
  while (answered !== version) {
    answered = version;
    if (empty()) {
      show(null);
      continue;
    }
    try {
      show(await send("classify"));
    } catch (error) {
      show(null, error.message);
    }
  }
  answering = false;
}

// Never 0% or 100% of what is only nearly that.
function percent(share) {
  if (share > 0 && share < .0005) return "<0.1%";
  if (share < 1 && share >= .9995) return ">99.9%";
  return `${(100 * share).toFixed(1)}%`;
}

// A softmax is never quite 0 or 1, even where it is rounded to that.
const probability = (share) => percent(Math.min(Math.max(share, 1e-9), 1 - 1e-9));

function show(answer, problem = "") {
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
  $("note").textContent = answer?.note ? `This is ${answer.note}.` : "";
  $("note").hidden = !answer?.note;
  $("save").disabled = !answer;
  $("name").textContent = answer ? network.classes[answer.class] : "?";
  $("name").classList.toggle("word", $("name").textContent.length > 4);
  $("sure").textContent = answer ? probability(answer.probabilities[answer.class]) : "";
  [...$("bars").children].forEach((row, i) => {
    const share = answer ? answer.probabilities[i] : 0;
    row.classList.toggle("best", i === answer?.class);
    row.querySelector(".bar").style.transform = `scaleX(${share})`;
    row.lastChild.textContent = answer ? probability(share) : "";
  });
  if (answer && document.activeElement !== $("label")) $("label").value = answer.class;
  const seen = answer ? Uint8Array.from(atob(answer.seen), (c) => c.charCodeAt(0)) : new Uint8Array(network.rows * network.columns);
  grid($("seen"), network.columns, seen, (value) => [value, value, value]);
  $("seen").ariaLabel = answer ? `The drawing as ${network.rows} by ${network.columns} pixels` : "Nothing yet";
  layers(answer ? answer.activations : []);
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    if (answer) $("spoken").textContent = `${network.classes[answer.class]}, ${probability(answer.probabilities[answer.class])}`;
  }, quiet);
}

// Draws values as pixels, some in each row.
function grid(canvas, columns, values, colour) {
  canvas.width = columns;
  canvas.height = Math.ceil(values.length / columns);
  const pixels = new ImageData(canvas.width, canvas.height);
  values.forEach((value, i) => pixels.data.set([...colour(value), 255], 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// The maps of a convolution side by side, in rows, with null between them; and the columns of a row.
function tiled(values, [maps, rows, columns]) {
  const across = Math.ceil(Math.sqrt(2 * maps));
  const width = across * (columns + 1) - 1, height = Math.ceil(maps / across) * (rows + 1) - 1;
  const pixels = new Array(width * height).fill(null);
  values.forEach((value, i) => {
    const map = Math.floor(i / (rows * columns)), row = Math.floor(i / columns) % rows, column = i % columns;
    const top = Math.floor(map / across) * (rows + 1), left = (map % across) * (columns + 1);
    pixels[(top + row) * width + left + column] = value;
  });
  return [width, pixels];
}

function layers(activations) {
  const figures = [...document.querySelectorAll("#pictures .layer")];
  activations.forEach((values, i) => {
    if (!figures[i]) {
      const figure = Object.assign(document.createElement("figure"), { className: "layer" });
      figure.append(document.createElement("canvas"), document.createElement("figcaption"));
      figure.firstChild.role = "img";
      $("pictures").append(figure);
      figures[i] = figure;
    }
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
    const map = network.maps?.[i];
    const above = values.filter((value) => value > 0).length;
    const text = map ? `Layer ${i + 1}: ${map[0]} maps of ${map[1]} by ${map[2]}, ${above} of ${values.length} values above 0`
      : `Layer ${i + 1}: ${above} of ${values.length} neurons above 0`;
    figures[i].firstChild.ariaLabel = figures[i].lastChild.textContent = text;
    const [columns, pixels] = map ? tiled(values, map) : [Math.ceil(Math.sqrt(2 * values.length)), values];
    grid(figures[i].firstChild, columns, pixels, (value) => {
      if (value === null) return [128, 128, 128];
      const strength = Math.abs(value) / largest;
      return value < 0 ? [60 * strength, 140 * strength, 255 * strength] : [255 * strength, 190 * strength, 70 * strength];
    });
  });
  if (activations.length === 0) figures.forEach((figure) => figure.remove());
}

// A wrong answer.

$("save").addEventListener("click", async () => {
  try {
    const { file, train, test } = await send("save", { label: $("label").value });
    $("saved").textContent = `Saved as ${file}: ${train} images to train on, ${test} to test with.`;
  } catch (error) {
    $("saved").textContent = error.message;
  }
});

// The network, and its training until there is one.

function start(state) {
  network = state.network;
  const accuracy = network.accuracy === null ? "" : `, test accuracy ${(100 * network.accuracy).toFixed(2)}%`;
  const data = network.data && `, trained on ${network.data}`;
  $("network").textContent = `${network.name}: ${network.layers}${data}${accuracy}`;
  $("save").title = `Adds it with this label to ${state.save}, for train --data ${state.save}`;
  network.classes.forEach((name, i) => {
    $("label").append(new Option(name, i));
    const row = document.createElement("li"), track = document.createElement("div"), bar = document.createElement("div");
    track.className = "track";
    bar.className = "bar";
    track.append(bar);
    row.append(Object.assign(document.createElement("span"), { textContent: name }), track, document.createElement("span"));
    $("bars").append(row);
  });
  show(null);
  classify();
}

function curve({ epochs, steps, done, losses, every, accuracies }) {
  const width = $("curve").clientWidth, [left, right, top, bottom] = [44, width - 16, 14, 140];
  $("curve").setAttribute("viewBox", `0 0 ${width} 170`);
  const most = Math.max(1e-9, ...losses);
  const x = (at) => left + at / steps * (right - left), y = (share) => bottom - share * (bottom - top);
  $("curve").replaceChildren();
  const draw = (name, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    element.textContent = text;
    $("curve").append(element);
  };
  draw("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom });
  draw("text", { x: left - 6, y: bottom + 4, "text-anchor": "end" }, "0");
  draw("text", { x: left - 6, y: top + 8, "text-anchor": "end" }, losses.length > 0 ? most.toFixed(1) : "");
  for (let epoch = 1; epoch <= epochs; epoch++) {
    draw("text", { x: x((epoch - .5) * steps / epochs), y: bottom + 20, "text-anchor": "middle" }, `epoch ${epoch}`);
    draw("line", { class: "axis", x1: x(epoch * steps / epochs), x2: x(epoch * steps / epochs), y1: top, y2: bottom });
  }
  draw("polyline", { class: "loss", points: losses.map((loss, i) => `${x((i + .5) * every)},${y(loss / most)}`).join(" ") });
  if (losses.length > 0) draw("text", { class: "loss", x: left + 24, y: top + 8 }, "loss");
  accuracies.forEach((share, i) => {
    const at = x((i + 1) * steps / epochs);
    draw("circle", { class: "accuracy", cx: at, cy: y(share), r: 4 });
    draw("text", { class: "accuracy", x: at - 8, y: y(share) + 18, "text-anchor": "end" }, percent(share));
  });
  $("progress").textContent = accuracies.length === 0
    ? `Epoch 1 of ${epochs}. You can draw already.`
    : `${accuracies.length} of ${epochs} epochs; ${percent(accuracies.at(-1))} of the test set are recognized`;
}

async function poll() {
  let again = 250;
  try {
    const state = await (await fetch("state")).json();
    $("training").hidden = !state.training && state.network !== null;
    if (state.training) curve(state.training);
    else if (!state.network) $("progress").textContent = "It is about to begin. You can draw already.";
    if (state.network) {
      document.body.classList.add("ready");
      $("training-title").textContent = "How it was trained";
      start(state);
      return;
    }
  } catch {
    again = 1000;
  }
  setTimeout(poll, again);
}

redraw();
poll();
