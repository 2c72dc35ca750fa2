# Moves a directory that an application keeps writing to. The application follows the link `live`.

source "directory" "old" {
  path = "old"
}

target "directory" "new" {
  path = "new"
}

route "symlink" "site" {
  path   = "live" # what the application follows
  source = "old"
  target = "new"
}

migration "site" {
  source = source.directory.old
  target = target.directory.new
  select {
    exclude = ["*.tmp", "cache/"]
  }
  verify {
    level = "full"
  }
}

cutover "site" {
  migrations = [migration.site]
  live       = "target"
  timeout    = "30s"
  gate "lag" {
    max = "2s"
  }
  quiesce "command" {
    stop  = ["./app", "pause"]
    start = ["./app", "resume"]
    probe = ["./app", "try-write"] # must fail while quiesced
  }
  switch {
    routes = [route.symlink.site]
  }
  fallback {
    reverse       = true
    stale_writers = "report" # a directory has no barrier of its own
  }
}
