"use strict";
/* Draws each gallery: maps arrive in their own small resolution and are enlarged bilinearly here. */
(function () {
  const SIDE = 96;

  function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  function element(name, className, text) {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text) node.textContent = text;
    return node;
  }

  /* Value at a point in pixel units of the map, samples at pixel centres, edges repeated. */
  function sample(values, offset, height, width, y, x) {
    const top = Math.min(Math.max(Math.floor(y), 0), height - 1);
    const left = Math.min(Math.max(Math.floor(x), 0), width - 1);
    const bottom = Math.min(top + 1, height - 1), right = Math.min(left + 1, width - 1);
    const down = Math.min(Math.max(y - top, 0), 1), across = Math.min(Math.max(x - left, 0), 1);
    const at = (row, column) => values[offset + row * width + column];
    const upper = at(top, left) * (1 - across) + at(top, right) * across;
    const lower = at(bottom, left) * (1 - across) + at(bottom, right) * across;
    return upper * (1 - down) + lower * down;
  }

  function paint(canvas, colours, values, index, [height, width]) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(SIDE, SIDE);
    for (let row = 0; row < SIDE; row += 1) {
      const y = ((row + 0.5) * height) / SIDE - 0.5;
      for (let column = 0; column < SIDE; column += 1) {
        const x = ((column + 0.5) * width) / SIDE - 0.5;
        const level = Math.round(sample(values, index * height * width, height, width, y, x));
        const pixel = 4 * (row * SIDE + column);
        for (let channel = 0; channel < 3; channel += 1) {
          image.data[pixel + channel] = colours[3 * level + channel];
        }
        image.data[pixel + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  function outline(path, [height, width]) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const line = document.createElementNS(space, "path");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  function picture(data, source, row, withMap) {
    const box = element("div", "picture");
    const image = element("img");
    image.alt = row.label;
    if (source !== null) image.src = data.pictures[source];
    box.append(image);
    const canvas = withMap ? element("canvas") : null;
    if (canvas) {
      canvas.width = SIDE;
      canvas.height = SIDE;
      box.append(canvas);
    }
    if (row.outline) box.append(outline(row.outline, data.size));
    return { box, image, canvas };
  }

  function options(select, pairs) {
    for (const [value, text] of pairs) select.append(new Option(text, value));
    select.disabled = pairs.length < 2;
  }

  function build(root) {
    const data = JSON.parse(root.querySelector("script").textContent);
    const colours = bytes(data.colours);
    const table = root.querySelector("table");
    const method = root.querySelector("[data-method]");
    const seed = root.querySelector("[data-seed]");
    const strength = root.querySelector("[data-strength]");
    options(method, data.methods.map((each) => [each.name, each.label]));
    options(seed, data.seeds.map((each) => [each, each]));

    const head = table.createTHead().insertRow();
    for (const text of ["", "image", ...data.systems.map((system) => system.label)]) {
      head.append(element("th", "", text));
    }
    const body = table.createTBody();
    const cells = [];
    data.rows.forEach((row, index) => {
      const line = body.insertRow();
      const name = element("th", "", row.label);
      name.title = row.id;
      line.append(name);
      line.insertCell().append(picture(data, data.input[index], row, false).box);
      for (const system of data.systems) {
        const parts = picture(data, null, row, true);
        const caption = element("div", "caption");
        line.insertCell().append(parts.box, caption);
        cells.push({ ...parts, caption, system: system.name, index });
      }
    });

    function draw() {
      const decoded = new Map();
      for (const cell of cells) {
        const entry = (data.entries[cell.system] || {})[seed.value];
        const map = entry && entry.maps[method.value];
        cell.canvas.hidden = !map;
        cell.caption.textContent = entry ? "" : "no run";
        cell.caption.classList.toggle("wrong", Boolean(entry) && !entry.notes[cell.index][2]);
        if (!entry) {
          cell.image.src = data.pictures[data.input[cell.index]];
          continue;
        }
        cell.image.src = data.pictures[entry.pictures[cell.index]];
        const [predicted, probability] = entry.notes[cell.index];
        cell.caption.textContent = `${predicted} · ${probability.toFixed(2)}`;
        if (!map) continue;
        if (!decoded.has(map)) decoded.set(map, bytes(map.values));
        paint(cell.canvas, colours, decoded.get(map), cell.index, map.shape);
      }
      root.dataset.shown = `${method.value} ${seed.value}`;
    }

    function fade() {
      for (const cell of cells) cell.canvas.style.opacity = strength.value / 100;
    }

    const scale = root.querySelector("[data-scale]").getContext("2d");
    for (let x = 0; x < 96; x += 1) {
      const level = Math.round((255 * x) / 95);
      scale.fillStyle = `rgb(${colours.slice(3 * level, 3 * level + 3).join(",")})`;
      scale.fillRect(x, 0, 1, 10);
    }
    method.addEventListener("change", draw);
    seed.addEventListener("change", draw);
    strength.addEventListener("input", fade);
    draw();
    fade();
  }

  document.querySelectorAll("[data-gallery]").forEach(build);
})();
