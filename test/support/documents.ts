// What is fenced in a Markdown document: code, commands and their output.

export interface FencedBlock {
  /** The line of the opening fence, from 1. */
  readonly line: number;
  /** What stands after the fence, such as `ts run`. */
  readonly info: string;
  readonly body: string;
}

/** Every fenced block, in order. Fences are three backticks at the start of a line. */
export function fencedBlocks(markdown: string): FencedBlock[] {
  return [...markdown.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(({ index, 1: info, 2: body }) => ({
    line: markdown.slice(0, index).split("\n").length,
    info,
    body,
  }));
}

/** The commands that are followed by their output: one in a `sh` block, and a `text` block right after it. */
export function commandsWithOutput<Block extends FencedBlock>(
  blocks: readonly Block[],
): (Block & { readonly command: string; readonly output: string })[] {
  return blocks.flatMap((block, i) => {
    const next = blocks[i + 1];
    if (block.info !== "sh" || next?.info !== "text") return [];
    return [{ ...block, command: block.body.trimEnd(), output: next.body.trimEnd() }];
  });
}

/**
 * The output with those lines left out that `shown` leaves out: a line "..." there stands for any number of lines.
 * The result is `shown` itself if that is right. Neither has a line's end at its end.
 */
export function elided(output: string, shown: string): string {
  const lines = output.split("\n");
  const wanted = shown.split("\n");
  const result: string[] = [];
  let at = 0;
  for (const [i, line] of wanted.entries()) {
    if (line === "...") {
      result.push(line);
      const next = i + 1 < wanted.length ? lines.indexOf(wanted[i + 1], at) : -1;
      at = next < 0 ? lines.length : next;
    } else if (at < lines.length) result.push(lines[at++]);
  }
  return [...result, ...lines.slice(at)].join("\n");
}
