# Moves a directory whose clients come through HAProxy. Reads go over in steps, by a backend of their own.

variable "live" {
  type    = string
  default = "target"
}

source "directory" "old" {
  path = "old"
}

target "directory" "new" {
  path = "new"
}

route "haproxy" "site" {
  socket        = "var/admin.sock"
  backend       = "writes" # for writes
  reads_backend = "reads"
  source        = "old" # the servers' names, in both
  target        = "new"
}

migration "site" {
  source = source.directory.old
  target = target.directory.new
}

cutover "site" {
  migrations = [migration.site]
  live       = var.live
  timeout    = "30s"
  quiesce "command" {
    stop  = ["./site", "pause"]
    start = ["./site", "resume"]
    probe = ["./site", "write", "probe"] # must fail while quiesced
  }
  switch {
    routes = [route.haproxy.site]
    steps  = [25, 100] # percent of the reads; 100 is the switch itself
    hold   = "2s"      # minutes in earnest
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
