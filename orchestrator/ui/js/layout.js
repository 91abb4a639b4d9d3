// Places the steps of a definition on a drawing: pure functions over [{ name, after: [names] }].
//
//   wide     columns from left to right by the longest path to a step; an edge over several columns keeps a free
//            place in each of them, so that no edge runs behind a step
//   narrow   one step below the other; steps with the same predecessors share one line at the left, as in a
//            picture of branches: exact, since each step of the group comes after each of these predecessors

const SWEEPS = 4;
// Room of an edge that passes a column, and of the lines at the left of the narrow form.
const PASS = 14;
const LANE = 14;

/** The layer of each step: the number of steps on the longest path before it. */
export function layers(steps) {
  const depth = new Map();
  const byName = new Map(steps.map((step) => [step.name, step]));
  const of = (name) => {
    if (!depth.has(name)) {
      depth.set(name, 0);
      depth.set(name, Math.max(0, ...byName.get(name).after.map((earlier) => of(earlier) + 1)));
    }
    return depth.get(name);
  };
  return new Map(steps.map(({ name }) => [name, of(name)]));
}

/** Columns of items: steps, and places of edges that pass by. Each item knows its neighbours in the column before. */
function columns(steps) {
  const depth = layers(steps);
  const all = Array.from({ length: Math.max(...depth.values()) + 1 }, () => []);
  const items = new Map();
  for (const { name } of steps) {
    const item = { name, before: [], after: [] };
    items.set(name, item);
    all[depth.get(name)].push(item);
  }
  const edges = [];
  for (const { name, after } of steps) {
    for (const from of after) {
      const path = [items.get(from)];
      for (let column = depth.get(from) + 1; column < depth.get(name); column += 1) {
        const place = { before: [], after: [] };
        all[column].push(place);
        path.push(place);
      }
      path.push(items.get(name));
      for (let index = 1; index < path.length; index += 1) {
        path[index].before.push(path[index - 1]);
        path[index - 1].after.push(path[index]);
      }
      edges.push({ from, to: name, path });
    }
  }
  return { all, edges };
}

/** Orders each column by the mean position of its neighbours, forwards and back: fewer crossings. */
function order(all) {
  const number = (column) => column.forEach((item, index) => (item.order = index - (column.length - 1) / 2));
  all.forEach(number);
  const sort = (column, side) => {
    const mean = (item) => (item[side].length ? item[side].reduce((sum, { order: at }) => sum + at, 0) / item[side].length : item.order);
    const means = new Map(column.map((item) => [item, mean(item)]));
    column.sort((a, b) => means.get(a) - means.get(b));
    number(column);
  };
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    all.forEach((column) => sort(column, "before"));
    all.toReversed().forEach((column) => sort(column, "after"));
  }
}

/** Steps in columns. `node`: { width, height }; `gap`: { x, y }. */
export function wide(steps, node, gap) {
  const { all, edges } = columns(steps);
  order(all);
  const size = ({ name }) => (name ? node.height : PASS);
  const heights = all.map((column) => column.reduce((sum, item) => sum + size(item) + gap.y, -gap.y));
  const height = Math.max(...heights);
  all.forEach((column, index) => {
    let y = (height - heights[index]) / 2;
    for (const item of column) {
      item.x = index * (node.width + gap.x);
      item.y = y + size(item) / 2;
      y += size(item) + gap.y;
    }
  });
  const nodes = all.flat().filter(({ name }) => name).map(({ name, x, y }) => ({ name, x, y: y - node.height / 2 }));
  const line = ({ from, to, path }) => {
    let at = { x: path[0].x + node.width, y: path[0].y };
    let drawn = `M${at.x},${at.y}`;
    for (const item of path.slice(1)) {
      const half = (item.x - at.x) / 2;
      drawn += `C${at.x + half},${at.y} ${item.x - half},${item.y} ${item.x},${item.y}`;
      at = item.name ? { x: item.x, y: item.y } : { x: item.x + node.width, y: item.y };
      if (!item.name) drawn += `H${at.x}`;
    }
    return { from: [from], to: [to], path: drawn, arrows: [{ ...at, turn: 0 }] };
  };
  return { width: all.length * (node.width + gap.x) - gap.x, height, nodes, edges: edges.map(line) };
}

/** Steps below each other in an order in which each comes after its predecessors. */
export function narrow(steps, node, gap) {
  const depth = layers(steps);
  const rows = steps.toSorted((a, b) => depth.get(a.name) - depth.get(b.name)).map(({ name }) => name);
  const row = new Map(rows.map((name, index) => [name, index]));
  const groups = new Map();
  for (const { name, after } of steps.filter((step) => step.after.length > 0)) {
    const key = after.toSorted((a, b) => row.get(a) - row.get(b)).join("\n");
    if (!groups.has(key)) groups.set(key, { from: key.split("\n"), to: [] });
    groups.get(key).to.push(name);
  }
  const isStraight = ({ from, to }) => from.length === 1 && to.length === 1 && row.get(to[0]) === row.get(from[0]) + 1;
  const bent = [...groups.values()].filter((group) => !isStraight(group));
  // The first free lane from the right; a lane is free again below the last step of its group.
  const ends = [];
  for (const group of bent.sort((a, b) => row.get(a.from[0]) - row.get(b.from[0]))) {
    const [first, last] = [row.get(group.from[0]), Math.max(...group.to.map((name) => row.get(name)))];
    const free = ends.findIndex((end) => end <= first);
    group.lane = free === -1 ? ends.length : free;
    ends[group.lane] = last;
  }
  const left = ends.length === 0 ? 0 : ends.length * LANE + 12;
  const top = (name) => row.get(name) * (node.height + gap.y);
  const middle = left + (node.width - left) / 2;
  const line = (group) => {
    if (isStraight(group)) {
      const [from, to] = [top(group.from[0]) + node.height, top(group.to[0])];
      return { ...group, path: `M${middle},${from}V${to}`, arrows: [{ x: middle, y: to, turn: 90 }] };
    }
    const x = left - 12 - group.lane * LANE - LANE / 2;
    const out = group.from.map((name) => top(name) + node.height * 0.7);
    const into = group.to.map((name) => top(name) + node.height * 0.3);
    const trunk = `M${x},${Math.min(...out)}V${Math.max(...into)}`;
    const stubs = [...out, ...into].map((y) => `M${x},${y}H${left}`).join("");
    return { ...group, path: trunk + stubs, arrows: into.map((y) => ({ x: left, y, turn: 0 })) };
  };
  const nodes = rows.map((name) => ({ name, x: left, y: top(name) }));
  return { width: node.width, height: rows.length * (node.height + gap.y) - gap.y, nodes, edges: [...groups.values()].map(line), indent: left };
}
