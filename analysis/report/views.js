"use strict";
// What the page does: it unpacks the views, fills them by what is picked, and gives tables and figures as files.
(async () => {
  const $ = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];

  async function unpacked(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  function save(text, type, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function made(kind, text = "") {
    const element = document.createElement(kind);
    element.textContent = text;
    return element;
  }

  for (const button of all("button.csv")) {
    button.addEventListener("click", async () => {
      save(await unpacked(button.nextElementSibling.textContent), "text/csv", button.dataset.name);
    });
  }
  for (const button of all("button.picture")) {
    button.addEventListener("click", () => {
      const svg = button.closest("figure").querySelector("svg");
      save(new XMLSerializer().serializeToString(svg), "image/svg+xml", button.dataset.name);
    });
  }
  for (const form of all("form")) form.addEventListener("submit", (event) => event.preventDefault());
  const opened = new Set();
  addEventListener("beforeprint", () => {
    for (const each of all("details:not([open])")) {
      opened.add(each);
      each.open = true;
    }
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
    opened.clear();
  });

  const packed = JSON.parse(await unpacked($("packed").textContent));
  if (!Object.keys(packed.roots).length) return;
  const roots = Object.fromEntries(Object.entries(packed.roots).map(([name, root]) => [root, name]));
  await Bokeh.embed.embed_items({ views: packed.document }, [{ docid: "views", roots, root_ids: Object.keys(roots) }]);
  const views = Bokeh.documents.at(-1);
  const named = (name) => views.get_model_by_name(name);
  const chosen = (selector) => new Set(all(selector).filter((each) => each.checked).map((each) => each.value));

  function colour() {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const line = style.getPropertyValue("--line").trim();
    const plots = ["scatter", "histogram", "curves"].map(named).filter((each) => each !== null);
    for (const plot of plots) {
      plot.setv({ background_fill_color: null, border_fill_color: null, outline_line_color: line });
      for (const axis of [...plot.below, ...plot.left]) {
        axis.setv({ axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: ink });
        axis.setv({ major_tick_line_color: ink, minor_tick_line_color: null });
      }
      for (const grid of plot.center) grid.setv({ grid_line_color: line });
    }
    named("points")?.selection_glyph.setv({ line_color: ink });
    for (const each of all(".view")) each.style.setProperty("--icon-color", ink);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colour);
  colour();

  // --- units -------------------------------------------------------------------------------------------------------
  const BINS = 40;

  function showUnits() {
    const source = named("units");
    const points = named("points");
    const data = source.data;
    const count = data.network.length;
    const FIELDS = { network: "network", block: "block", unit: "unit", class: "top_class", image: "images" };

    // Of words such as class:dog and unit:50 each says what its field has; other words may stand in the class or in the
    // names of images. A number is found whole, but for zeros before it.
    function searching(text) {
      const words = text.trim().toLowerCase().match(/(\w+:)?("[^"]*"|\S+)/g) ?? [];
      const asked = words.map((word) => {
        const [, name, value] = word.match(/^(?:(\w+):)?"?([^"]*)"?$/) ?? [null, undefined, word];
        return name in FIELDS ? [[FIELDS[name]], value] : [["top_class", "images"], name ? `${name}:${value}` : value];
      });
      const has = (field, value, at) => {
        const text = String(data[field][at]).toLowerCase();
        if (!/^\d+$/.test(value)) return text.includes(value);
        return new RegExp(`(^|[^0-9])0*${value}([^0-9]|$)`).test(text);
      };
      return (at) => asked.every(([fields, value]) => fields.some((field) => has(field, value, at)));
    }

    const numbers = Int32Array.from(data.network, (network) => packed.networks.indexOf(network));

    function filter() {
      const chosenNetworks = chosen(".network");
      const networks = packed.networks.map((network) => chosenNetworks.has(network));
      const block = $("block").value;
      const values = data[$("up").value];
      const least = $("least").value === "" ? -Infinity : Number($("least").value);
      const most = $("most").value === "" ? Infinity : Number($("most").value);
      const bounded = least !== -Infinity || most !== Infinity;
      const found = searching($("search").value);
      const kept = new Array(count);
      let shown = 0;
      for (let at = 0; at < count; at++) {
        kept[at] =
          networks[numbers[at]] &&
          (block === "" || data.block[at] === block) &&
          (!bounded || (values[at] >= least && values[at] <= most)) &&
          found(at);
        shown += kept[at];
      }
      const across = data[$("across").value];
      const some = kept.some((each, at) => each && !Number.isNaN(across[at] + values[at]));
      named("span").data = some ? { x: [], y: [] } : { x: [0, 1], y: [0, 1] };
      named("kept").booleans = kept;
      $("shown").textContent = `${shown} of ${count} units`;
      countBins(kept, values);
    }

    function countBins(kept, values) {
      let low = Infinity;
      let high = -Infinity;
      for (let at = 0; at < count; at++) {
        if (kept[at] && values[at] < low) low = values[at];
        if (kept[at] && values[at] > high) high = values[at];
      }
      if (low > high) [low, high] = [0, 1]; // no unit is left: the axis has a span still
      const width = (high - low) / BINS || 1;
      const counts = packed.networks.map(() => new Array(BINS).fill(0));
      for (let at = 0; at < count; at++) {
        if (!kept[at] || Number.isNaN(values[at])) continue;
        counts[numbers[at]][Math.min(Math.floor((values[at] - low) / width), BINS - 1)] += 1;
      }
      const any = counts.some((mine) => mine.some((each) => each > 0));
      counts.forEach((mine, number) => {
        const edges = mine.map((_, bin) => low + bin * width);
        const some = mine.some((each) => each > 0);
        named(`bins-${number}`).data = some || !any ? { x: [...edges, high], y: [...mine, 0] } : { x: [], y: [] };
      });
    }

    function axes() {
      const across = $("across");
      const up = $("up");
      // those of picked units and of the others are glyphs of their own
      for (const glyph of [points.glyph, points.selection_glyph, points.nonselection_glyph, points.muted_glyph]) {
        if (glyph?.setv) glyph.setv({ x: { field: across.value }, y: { field: up.value } });
      }
      const scatter = named("scatter");
      scatter.below[0].axis_label = across.selectedOptions[0].text;
      scatter.left[0].axis_label = up.selectedOptions[0].text;
      named("histogram").below[0].axis_label = up.selectedOptions[0].text;
      $("least-of").textContent = `${up.selectedOptions[0].text} at least`;
      filter();
      mark();
    }

    function mark() {
      const picked = [...source.selected.indices];
      const values = data[$("up").value];
      named("marks").data = { x: picked.map((at) => values[at]), y: picked.map(() => 0) };
      const first = picked.slice(0, 6).map((at) => {
        const unit = made("div");
        const measures = Object.entries(packed.titles)
          .map(([name, title]) => [title, data[name][at]])
          .filter(([, value]) => !Number.isNaN(value))
          .map(([title, value]) => `${title} ${value.toFixed(4)}`);
        const images = data.images[at] ? [`most active on ${data.images[at]}`] : [];
        const name = `${data.network[at]}, ${data.block[at]}, unit ${data.unit[at]}`;
        const said = [data.top_class[at], ...measures, ...images].filter(Boolean).join("; ");
        const link = made("a", "Link to this unit");
        link.href = addressOf(at);
        const line = made("p", `${name}: ${said}. `);
        line.append(link);
        unit.append(line, ...examples(at), ...profile(at));
        return unit;
      });
      if (picked.length > first.length) first.push(made("p", `… ${picked.length} units picked`));
      $("picked").replaceChildren(...first);
    }

    function examples(at) {
      const { sheets, side, across, of } = packed.pictures;
      if (!of || !of[at].length) return [];
      const names = data.images[at].split(", ");
      const row = made("div");
      row.className = "examples";
      of[at].forEach(([sheet, number], rank) => {
        const tile = made("span");
        const name = names.length === of[at].length ? names[rank] : `example ${rank + 1}`;
        const [x, y] = [(number % across) * side, Math.floor(number / across) * side];
        Object.assign(tile.style, { width: `${side}px`, height: `${side}px`, background: `url(${sheets[sheet]}) -${x}px -${y}px` });
        tile.title = name;
        tile.setAttribute("role", "img");
        tile.setAttribute("aria-label", `image ${name}`);
        row.append(tile);
      });
      return [row];
    }

    function profile(at) {
      const { classes, among, of } = packed.profiles;
      if (!of || !of[at].length) return [];
      const highest = Math.max(...of[at].map(([, mean]) => Math.abs(mean))) || 1;
      const list = made("ol");
      list.className = "profile";
      for (const [number, mean] of of[at]) {
        const line = made("li");
        const bar = made("i");
        bar.style.width = `${(100 * Math.max(mean, 0)) / highest}%`;
        line.append(made("span", classes[number]), bar, made("span", String(mean)));
        list.append(line);
      }
      const shown = of[at].length < among ? `The ${of[at].length} of ${among} classes with the highest mean activity` : "Mean activity by class";
      return [made("p", `${shown}:`), list];
    }

    const addressOf = (at) => `#unit/${[data.network[at], data.block[at], data.unit[at]].map(encodeURIComponent).join("/")}`;

    // a unit that the address names is picked, whatever the filters leave out
    function pickNamed() {
      if (!location.hash.startsWith("#unit/")) return;
      const wanted = Array.from({ length: count }, (_, at) => at).find((at) => addressOf(at) === location.hash);
      if (wanted === undefined) {
        $("picked").replaceChildren(made("p", "The unit that the address names is not in this page."));
      } else {
        if (!named("kept").booleans[wanted]) {
          for (const each of all(".network")) each.checked = true;
          for (const id of ["block", "least", "most", "search"]) $(id).value = "";
          filter();
        }
        source.selected.indices = [wanted];
      }
      $("picked").scrollIntoView({ block: "center" });
    }

    function take() {
      const quoted = (value) => (typeof value === "string" ? `"${value.replaceAll('"', '""')}"` : Number.isNaN(value) ? "" : value);
      const picked = [...source.selected.indices];
      const kept = named("kept").booleans;
      const rows = picked.length ? picked : kept.map((each, at) => (each ? at : -1)).filter((at) => at >= 0);
      const columns = Object.keys(data).filter((name) => data[name].length === count && name !== "index");
      const lines = rows.map((at) => columns.map((name) => quoted(data[name][at])).join(","));
      save([columns.join(","), ...lines, ""].join("\n"), "text/csv", "units.csv");
    }

    if ([...$("across").options].some((option) => option.value === "csi_null")) $("across").value = "csi_null";
    for (const id of ["block", "least", "most", "search"]) $(id).addEventListener("input", filter);
    for (const each of all(".network")) each.addEventListener("input", filter);
    for (const id of ["across", "up"]) $(id).addEventListener("input", axes);
    source.selected.properties.indices.change.connect(mark);
    $("take").addEventListener("click", take);
    // the table would take every Tab for its next cell, and never let go; arrow keys, which go from cell to cell, it
    // understands only when there is one to go from
    function tableKeys(event) {
      const grid = Bokeh.index.find_one(named("table")).grid;
      if (event.key === "Tab") event.stopPropagation();
      if (event.key === "ArrowDown" && !grid.getActiveCell()) {
        event.stopPropagation();
        event.preventDefault();
        grid.setActiveCell(0, 0);
      }
    }
    $("table").addEventListener("keydown", tableKeys, true);
    addEventListener("hashchange", pickNamed);
    axes();
    pickNamed();
  }

  // --- pruning curves ------------------------------------------------------------------------------------------------
  function showCurves() {
    const plot = named("curves");

    function redraw() {
      const networks = chosen(".curved");
      const block = $("curve-block").value;
      const score = $("score") ? $("score").value : "";
      const wanted = $("order").value;
      packed.networks.forEach((network, number) => {
        for (const order of ["most", "least", "none"]) {
          const source = named(`curve-${number}-${order}`);
          if (source === null) continue;
          const found = packed.curves.find(
            (each) =>
              each.network === network && each.block === block && each.order === order &&
              (order === "none" || each.score === score)
          );
          const shown = found && networks.has(network) && (order === "none" || wanted === "" || wanted === order);
          const { ratio, top1, low, high } = shown ? found : { ratio: [], top1: [], low: [], high: [] };
          const alike = (text) => ratio.map(() => text);
          const said = { most: "most important first", least: "least important first", none: "no order" }[order];
          source.data = { ratio, top1, low, high, network: alike(network), order: alike(said) };
        }
      });
      for (const each of plot.renderers) if (each.name === "band") each.visible = $("bands").checked;
    }

    for (const id of ["curve-block", "score", "order", "bands"]) if ($(id)) $(id).addEventListener("input", redraw);
    for (const each of all(".curved")) each.addEventListener("input", redraw);
    redraw();
  }

  if ("scatter" in packed.roots) showUnits();
  if ("curves" in packed.roots) showCurves();
  document.body.dataset.ready = "yes";
  performance.mark("ready");
})().catch((error) => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = `The interactive views cannot be shown: ${error}`;
  trouble.hidden = false;
  throw error;
});
