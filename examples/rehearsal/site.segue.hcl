# A rehearsal before the switch: the whole migration once to a copy beside the target, with its pause, measured,
# judged and taken away again. With mode = "only" nothing else is done.

source "directory" "old" {
  path = "old"
}

target "directory" "new" {
  path = "new"
}

route "symlink" "site" {
  path   = "live"
  source = "old"
  target = "new"
}

migration "site" {
  source = source.directory.old
  target = target.directory.new
}

cutover "site" {
  migrations = [migration.site]
  live       = "target"
  timeout    = "30s"

  rehearse {
    mode      = "before"
    quiesce   = true                            # the site stops writing for a moment, as it will in the switch
    valid_for = "7d"                            # an older one is made again
    test      = ["./site", "look-at", "{path}"] # the copy, as the application would read it
  }

  # Accepted, with a reason that is in the plan's hash and in the report.
  waive "REHEARSE_PLACE" {
    reason = "the target's own file system is not mounted yet; it is of the same kind"
  }

  gate "downtime" {
    max    = "20s"                # judged by what the rehearsal measured, until something else was
    assume = { route = "100ms" } # a rehearsal moves no route
  }

  quiesce "command" {
    stop  = ["./site", "pause"]
    start = ["./site", "resume"]
    probe = ["./site", "try-write"]
  }

  switch {
    routes = [route.symlink.site]
  }

  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
