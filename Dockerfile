FROM node:26-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:26-bookworm-slim
# Nothing that can fetch or install packages is left for an intruder to use.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
      /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn-* \
 && mkdir /data /app-cache \
 && chown 10001:10001 /data /app-cache
WORKDIR /app
COPY package.json LICENSE* ./
COPY --from=dependencies /app/node_modules ./node_modules
COPY bin ./bin
COPY config ./config
COPY src ./src

ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/app-cache \
    MALLOC_ARENA_MAX=2 \
    PORTCULLIS_LISTEN_DATA=0.0.0.0:5000 \
    PORTCULLIS_LISTEN_ADMIN=0.0.0.0:5001 \
    PORTCULLIS_DATA_DIRECTORY=/data

# A number, so that Kubernetes' runAsNonRoot can tell without a passwd file.
USER 10001:10001
# Stripping types and compiling would take most of a start. The proxy is started once, and what it loads only when it needs
# it is loaded, so that all of it is kept compiled. The cache is read-only from here on, and counts for the same flags alone.
RUN PORTCULLIS_DATA_DIRECTORY=/tmp/data timeout --preserve-status 5 node --no-parallel-scavenge --max-semi-space-size=8 src/main.ts serve > /dev/null \
 && node --no-parallel-scavenge --max-semi-space-size=8 --input-type=module --eval "for (const part of ['undici', 'piscina', 'prom-client', '@hono/node-server', '@noble/curves/nist.js', './src/admin.ts', \
      './src/policy/expression.ts', './src/trust/tuf/synchronise.ts', './src/workers/keeper.ts', './src/workers/worker-deps.ts']) await import(part)" \
 && node --no-parallel-scavenge --max-semi-space-size=8 src/main.ts --help > /dev/null \
 && rm -rf /tmp/data

VOLUME /data
EXPOSE 5000 5001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:5001/healthz', { signal: AbortSignal.timeout(2000) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
# The flags: see bin/portcullis.
ENTRYPOINT ["node", "--no-parallel-scavenge", "--max-semi-space-size=8", "/app/src/main.ts"]
CMD ["serve"]
