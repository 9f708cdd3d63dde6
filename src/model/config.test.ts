import { describe, expect, test } from "vitest";
import { recordedLines } from "../../test/support/trace-fixtures.ts";
import {
  behaviourOf,
  ConfigError,
  DEFAULT_PROFILE,
  type KernelConfig,
  makeConfig,
  markerLayoutOf,
  nearestProfile,
  PROFILES,
  type ProfileName,
  profileForTrace,
  profileNamed,
  swapTypesOf,
} from "./config.ts";

const NAMES = Object.keys(PROFILES) as ProfileName[];
const SWITCHES = [
  "release",
  "PTE_MARKER",
  "PTE_MARKER_PAGEOUT",
  "PTE_MARKER_UFFD_WP",
  "PAGEMAP_SHMEM_LOOKUP",
  "FAULT_AROUND_MARKERS",
  "finish_fault_orig_pte",
  "handle_pte_marker",
  "MEM_SOFT_DIRTY",
  "fault_around_bytes",
  "page_cluster",
  "uffd_wp_async",
];

describe("profiles", () => {
  test("are those of the recorded kernels", () => {
    expect(NAMES).toEqual(["rfc", "linux-6.1", "linux-6.18"]);
    expect(DEFAULT_PROFILE).toBe("rfc");
  });

  test.each(NAMES)("%s is complete, and a configuration that can be", (name) => {
    expect(Object.keys(PROFILES[name])).toEqual(SWITCHES);
    expect(profileNamed(name)).toBe(PROFILES[name]);
    expect(makeConfig(name)).toEqual(PROFILES[name]);
  });

  test("differ in just what the kernels differ in", () => {
    const differences = (a: ProfileName, b: ProfileName): string[] =>
      SWITCHES.filter(
        (name) => PROFILES[a][name as keyof KernelConfig] !== PROFILES[b][name as keyof KernelConfig],
      );
    expect(differences("rfc", "linux-6.1")).toEqual(["PTE_MARKER_PAGEOUT"]);
    expect(differences("linux-6.1", "linux-6.18")).toEqual(["release", "MEM_SOFT_DIRTY", "uffd_wp_async"]);
  });

  test("of every release have a behaviour, with the same questions answered", () => {
    const answers = NAMES.map((name) => Object.keys(behaviourOf(PROFILES[name].release)));
    for (const keys of answers) expect(keys).toEqual(answers[0]);
  });

  test.each(["", "linux", "RFC", "toString", "__proto__"])("%j is none: the names are listed", (name) => {
    expect(() => profileNamed(name)).toThrow(
      new ConfigError(`unknown profile "${name}": there are rfc, linux-6.1, linux-6.18`),
    );
    expect(() => makeConfig(name)).toThrow(ConfigError);
  });
});

describe("a configuration", () => {
  test("is the profile with what is set otherwise", () => {
    expect(makeConfig("linux-6.1", { page_cluster: 0, MEM_SOFT_DIRTY: false })).toEqual({
      ...PROFILES["linux-6.1"],
      page_cluster: 0,
      MEM_SOFT_DIRTY: false,
    });
    expect(makeConfig(undefined, {})).toEqual(PROFILES.rfc);
  });

  test("does not change the profile it is made from", () => {
    const before = structuredClone(PROFILES);
    makeConfig("rfc", { fault_around_bytes: 4096 });
    expect(PROFILES).toEqual(before);
  });

  test.each<[ProfileName, Partial<KernelConfig>, string]>([
    [
      "rfc",
      { PTE_MARKER: false },
      "PTE_MARKER_PAGEOUT needs PTE_MARKER: set PTE_MARKER to true, or PTE_MARKER_PAGEOUT to false",
    ],
    [
      "linux-6.18",
      { PTE_MARKER: false },
      "PTE_MARKER_UFFD_WP needs PTE_MARKER: set PTE_MARKER to true, or PTE_MARKER_UFFD_WP to false",
    ],
    [
      "linux-6.18",
      { PTE_MARKER_PAGEOUT: true },
      'PTE_MARKER_PAGEOUT is not in 6.18: the RFC\'s mechanism is modelled on 6.1 (profile "rfc")',
    ],
    [
      "linux-6.1",
      { FAULT_AROUND_MARKERS: true },
      "FAULT_AROUND_MARKERS needs PTE_MARKER_PAGEOUT: without it there are no such markers (profile rfc has it)",
    ],
    [
      "linux-6.1",
      { uffd_wp_async: true },
      "uffd_wp_async is not in 6.1: it came with 6.7 (profile linux-6.18)",
    ],
  ])("%s with %j can't be, and says what to do", (profile, overrides, message) => {
    expect(() => makeConfig(profile, overrides)).toThrow(new ConfigError(message));
  });

  test("with the rival's look-up can be on any release, with markers and without", () => {
    for (const profile of NAMES)
      expect(makeConfig(profile, { PAGEMAP_SHMEM_LOOKUP: true }).PAGEMAP_SHMEM_LOOKUP).toBe(true);
  });

  test("without PTE_MARKER can be, if nothing needs it", () => {
    const config = makeConfig("rfc", {
      PTE_MARKER: false,
      PTE_MARKER_PAGEOUT: false,
      PTE_MARKER_UFFD_WP: false,
    });
    expect(markerLayoutOf(config)).toBeUndefined();
  });

  test.each([0, -4096, 1, 4095, 4097, 12288, 3 * 65536, 4 * 1024 * 1024, 4096.5, Number.NaN, Infinity])(
    "with fault_around_bytes %d can't be",
    (bytes) => {
      expect(() => makeConfig("rfc", { fault_around_bytes: bytes })).toThrow(
        new ConfigError(`fault_around_bytes ${bytes}: must be a power of two from 4096 to 2097152`),
      );
    },
  );

  test.each([4096, 8192, 65536, 2 * 1024 * 1024])("with fault_around_bytes %d can be", (bytes) => {
    expect(makeConfig("rfc", { fault_around_bytes: bytes }).fault_around_bytes).toBe(bytes);
  });

  test.each([-1, 32, 0.5, Number.NaN, Infinity])("with page_cluster %d can't be", (pageCluster) => {
    expect(() => makeConfig("rfc", { page_cluster: pageCluster })).toThrow(
      new ConfigError(`page_cluster ${pageCluster}: must be an integer from 0 to 31`),
    );
  });

  test.each<[object, string]>([
    [{ THP: "never" }, `unknown switch "THP": there are ${SWITCHES.join(", ")}`],
    [{ toString: 1 }, `unknown switch "toString": there are ${SWITCHES.join(", ")}`],
    [{ PTE_MARKER: "y" }, 'PTE_MARKER: must be a boolean, not "y"'],
    [{ PTE_MARKER: 1 }, "PTE_MARKER: must be a boolean, not 1"],
    [{ page_cluster: "3" }, 'page_cluster: must be a number, not "3"'],
    [{ page_cluster: null }, "page_cluster: must be a number, not null"],
    [{ page_cluster: undefined }, "page_cluster: must be a number, not undefined"],
    [{ release: 6.1 }, "release: must be a string, not 6.1"],
    [{ release: "6.6" }, 'release "6.6": must be one of 6.1, 6.18'],
  ])("with %j is refused", (overrides, message) => {
    expect(() => makeConfig("linux-6.1", overrides)).toThrow(new ConfigError(message));
  });
});

describe("the reserved swap types", () => {
  test.each<[ProfileName, number, number, number | undefined]>([
    ["rfc", 22, 30, 31],
    ["linux-6.1", 22, 30, 31],
    ["linux-6.18", 23, 31, undefined],
  ])("of %s: %i areas, markers are type %i", (profile, maxSwapfiles, pteMarker, swapinError) => {
    expect(swapTypesOf(makeConfig(profile))).toMatchObject({ maxSwapfiles, pteMarker, swapinError });
  });

  test("leave one more for areas without PTE_MARKER", () => {
    const config = makeConfig("linux-6.1", { PTE_MARKER: false, PTE_MARKER_UFFD_WP: false });
    expect(swapTypesOf(config)).toMatchObject({ maxSwapfiles: 23, pteMarker: undefined });
  });
});

describe("the marker bits", () => {
  test.each<[ProfileName, object]>([
    ["rfc", { type: 30, UFFD_WP: 1, PAGEOUT: 2, POISONED: 0, GUARD: 0 }],
    ["linux-6.1", { type: 30, UFFD_WP: 1, PAGEOUT: 0, POISONED: 0, GUARD: 0 }],
    ["linux-6.18", { type: 31, UFFD_WP: 1, PAGEOUT: 0, POISONED: 2, GUARD: 4 }],
  ])("of %s", (profile, layout) => {
    expect(markerLayoutOf(makeConfig(profile))).toEqual(layout);
  });

  test("have no uffd-wp where the configuration has none, and the others stay where they are", () => {
    const config = makeConfig("rfc", { PTE_MARKER_UFFD_WP: false });
    expect(markerLayoutOf(config)).toEqual({ type: 30, UFFD_WP: 0, PAGEOUT: 2, POISONED: 0, GUARD: 0 });
  });
});

describe("the profile of a trace", () => {
  test.each<[string, Record<string, boolean>, ProfileName]>([
    ["6.1.192-rfc", { PTE_MARKER_PAGEOUT: true }, "rfc"],
    ["6.1.192-oracle", { PTE_MARKER_PAGEOUT: false }, "linux-6.1"],
    ["6.1", {}, "linux-6.1"],
    ["6.1-rc4", {}, "linux-6.1"],
    ["6.18.44-fc-v445", { PTE_MARKER_PAGEOUT: false }, "linux-6.18"],
  ])("of kernel %s is found", (kernel, switches, profile) => {
    expect(profileForTrace(kernel, switches)).toEqual({ profile, config: switches });
  });

  test.each(["", "6", "6.10.3", "6.12.1", "5.14.0-rc4", "16.1", "6.1x", "6.180", "toy"])(
    "of kernel %j is unknown, and it says what to do",
    (kernel) => {
      expect(() => profileForTrace(kernel, {})).toThrow(
        new ConfigError(
          `unknown kernel "${kernel}": the model follows 6.1 and 6.18; name a profile to replay it as one`,
        ),
      );
    },
  );

  test("takes the switches that it knows, and leaves what the recorder notes besides", () => {
    const config = { page_cluster: 0, fault_around_bytes: 4096, thp: "never", cgroup: 1, reclaim_rounds: 3 };
    expect(profileForTrace("6.1.192", config).config).toEqual({ page_cluster: 0, fault_around_bytes: 4096 });
  });

  test("of a kernel that had the mechanism where the model has not is refused when it is made", () => {
    const { profile, config } = profileForTrace("6.18.1-rfc", { PTE_MARKER_PAGEOUT: true });
    expect(() => makeConfig(profile, config)).toThrow(/^PTE_MARKER_PAGEOUT is not in 6\.18/);
  });
});

test("every recorded trace has a configuration that can be, and its markers are of that configuration", () => {
  const profiles = new Set<string>();
  const markers = new Map<string, number>();
  for (const { file, line, text } of recordedLines()) {
    const trace = JSON.parse(text) as { kernel: string; config: Record<string, boolean | number | string> };
    const { profile, config } = profileForTrace(trace.kernel, trace.config);
    profiles.add(profile);
    const layout = markerLayoutOf(makeConfig(profile, config));
    for (const [, flags, type, bits] of text.matchAll(/"([0-9a-f]+):(\d+)\.(\d+)"/g)) {
      const where = `${file}:${line}, entry ${flags}:${type}.${bits}`;
      expect(layout?.type, where).toBe(Number(type));
      const isUffdWp = Number(bits) === layout?.UFFD_WP;
      expect(isUffdWp || Number(bits) === layout?.PAGEOUT, where).toBe(true);
      // Bit 57 of the pagemap entry is 4 here.
      expect((Number.parseInt(flags, 16) & 4) !== 0, where).toBe(isUffdWp);
      const kind = `${profile} ${isUffdWp ? "UFFD_WP" : "PAGEOUT"}`;
      markers.set(kind, (markers.get(kind) ?? 0) + 1);
    }
  }
  expect([...profiles].sort()).toEqual(["linux-6.1", "linux-6.18", "rfc"]);
  expect([...markers.keys()].sort()).toEqual([
    "linux-6.1 UFFD_WP",
    "linux-6.18 UFFD_WP",
    "rfc PAGEOUT",
    "rfc UFFD_WP",
  ]);
});

test.each([
  ["6.18.44-fc", "linux-6.18"],
  ["7.2.0-rc1", "linux-6.18"],
  ["6.12.117", "linux-6.18"],
  ["6.10", "linux-6.18"],
  ["6.9.1", "linux-6.1"],
  ["5.15.0-91-generic", "linux-6.1"],
  ["unknown", "linux-6.1"],
])("the profile nearest to %s is %s", (kernel, profile) => {
  expect(nearestProfile(kernel)).toBe(profile);
});
