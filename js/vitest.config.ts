import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";

declare const process: { env: Record<string, string | undefined> };

const launchOptions = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"],
};

export default defineConfig({
  optimizeDeps: { include: ["axe-core"] },
  test: {
    include: ["tests/**/*.test.ts"],
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions }),
      instances: [{ browser: "chromium", viewport: { width: 1200, height: 1400 } }],
    },
  },
});
