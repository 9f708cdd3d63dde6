/** What is to be given back, last taken first: as `DisposableStack`, which Node 20 does not have. */
export class Resources implements Disposable {
  readonly #taken: Disposable[] = [];

  use<T extends Disposable>(resource: T): T {
    this.#taken.push(resource);
    return resource;
  }

  /** Gives all back, also if one of them fails to be; then throws the first failure. */
  [Symbol.dispose](): void {
    const failures: unknown[] = [];
    for (let resource = this.#taken.pop(); resource !== undefined; resource = this.#taken.pop()) {
      try {
        resource[Symbol.dispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
