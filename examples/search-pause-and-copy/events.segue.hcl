# The pipeline is paused, everything is copied, the pipeline goes on at the new cluster.

variable "old_url" {
  type    = string
  default = "http://127.0.0.1:9200"
}

variable "new_url" {
  type    = string
  default = "http://127.0.0.1:9201"
}

variable "live" {
  type    = string
  default = "target"
}

source "elasticsearch" "old" {
  url     = var.old_url
  indices = ["events"]
}

variable "snapshots" {
  type    = string
  default = "/mnt/snapshots" # the same directory for the servers of both clusters, below path.repo
}

target "opensearch" "new" {
  url     = var.new_url
  barrier = "name" # nobody knows of it before the switch
}

route "symlink" "search" {
  path   = "var/current" # what the pipeline and the application follow; a name or a proxy in earnest
  source = "old.url"
  target = "new.url"
}

migration "events" {
  source = source.elasticsearch.old
  target = target.opensearch.new
  load {
    mode     = "snapshot"
    location = var.snapshots
  }
  verify {
    level = "full"
  }
}

cutover "events" {
  migrations = [migration.events]
  live       = var.live
  timeout    = "60s"
  gate "verified" {
    level = "full"
  }
  quiesce "command" {
    stop  = ["./pipeline", "pause"] # it is paused already: the source is at rest for the whole copy
    start = ["./pipeline", "resume"]
    probe = ["./pipeline", "write"] # must fail while quiesced
  }
  switch {
    routes = [route.symlink.search]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
