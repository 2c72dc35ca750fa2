# Events go to both clusters from a moment on; what came before is filled in behind them.

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

target "opensearch" "new" {
  url = var.new_url
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
    mode = "parallel" # adds what is missing, and overwrites nothing
  }
  verify {
    level = "full"
  }
}

cutover "events" {
  migrations = [migration.events]
  live       = var.live
  timeout    = "60s"
  gate "lag" {
    max = "30s"
  }
  gate "search_health" {
    url = var.new_url
  }
  quiesce "command" {
    stop  = ["./pipeline", "pause"]
    start = ["./pipeline", "resume"]
    probe = ["./pipeline", "write"] # must fail while quiesced
  }
  switch {
    routes = [route.symlink.search]
  }
  fallback {
    reverse       = true
    stale_writers = "report" # nothing keeps clients from the old cluster
    dual_write    = true     # as declared: the pipeline writes to both before the switch
  }
}
