/**
 * Which items cover a page: the kernel's interval trees of VMAs (`mm/interval_tree.c`), here as a treap
 * in which each node knows the highest end below it.
 */

/** An item of an interval tree: `id` is unique and tells apart items that start at one page. */
export interface IntervalItem {
  readonly id: number;
}

interface Node<T> {
  readonly item: T;
  readonly start: number;
  readonly last: number;
  readonly priority: number;
  lastBelow: number;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
}

export class IntervalTree<T extends IntervalItem> {
  #root: Node<T> | undefined;
  #size = 0;
  #random = 0x2545f491;

  get size(): number {
    return this.#size;
  }

  /** Adds an item that covers pages `start` to `last`, both included. */
  insert(item: T, start: number, last: number): void {
    // xorshift: the shape depends on the order of insertions alone, so a run repeats.
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    const node: Node<T> = {
      item,
      start,
      last,
      priority: this.#random >>> 0,
      lastBelow: last,
      left: undefined,
      right: undefined,
    };
    this.#root = insert(this.#root, node);
    this.#size++;
  }

  /** Removes an item that was inserted with this `start`. Throws if it isn't there: a bug of the caller. */
  remove(item: T, start: number): void {
    const before = this.#size;
    const removed = (): void => {
      this.#size--;
    };
    this.#root = remove(this.#root, item.id, start, removed);
    if (this.#size === before) throw new Error(`interval tree: item ${item.id} at ${start} is not in it`);
  }

  /** Appends to `found` the items that cover any page from `start` to `last`, by their start. */
  collect(start: number, last: number, found: T[]): void {
    collect(this.#root, start, last, found);
  }
}

function before(a: number, aId: number, b: number, bId: number): boolean {
  return a < b || (a === b && aId < bId);
}

function refresh<T>(node: Node<T>): Node<T> {
  let last = node.last;
  if (node.left !== undefined && node.left.lastBelow > last) last = node.left.lastBelow;
  if (node.right !== undefined && node.right.lastBelow > last) last = node.right.lastBelow;
  node.lastBelow = last;
  return node;
}

function insert<T extends IntervalItem>(root: Node<T> | undefined, node: Node<T>): Node<T> {
  if (root === undefined) return node;
  if (before(node.start, node.item.id, root.start, root.item.id)) {
    root.left = insert(root.left, node);
    if (root.left.priority > root.priority) {
      const top = root.left;
      root.left = top.right;
      top.right = refresh(root);
      return refresh(top);
    }
  } else {
    root.right = insert(root.right, node);
    if (root.right.priority > root.priority) {
      const top = root.right;
      root.right = top.left;
      top.left = refresh(root);
      return refresh(top);
    }
  }
  return refresh(root);
}

function merge<T>(left: Node<T> | undefined, right: Node<T> | undefined): Node<T> | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = merge(left.right, right);
    return refresh(left);
  }
  right.left = merge(left, right.left);
  return refresh(right);
}

function remove<T extends IntervalItem>(
  root: Node<T> | undefined,
  id: number,
  start: number,
  removed: () => void,
): Node<T> | undefined {
  if (root === undefined) return undefined;
  if (root.item.id === id && root.start === start) {
    removed();
    return merge(root.left, root.right);
  }
  if (before(start, id, root.start, root.item.id)) root.left = remove(root.left, id, start, removed);
  else root.right = remove(root.right, id, start, removed);
  return refresh(root);
}

function collect<T extends IntervalItem>(
  node: Node<T> | undefined,
  start: number,
  last: number,
  found: T[],
): void {
  if (node === undefined || node.lastBelow < start) return;
  collect(node.left, start, last, found);
  if (node.start > last) return;
  if (node.last >= start) found.push(node.item);
  collect(node.right, start, last, found);
}
