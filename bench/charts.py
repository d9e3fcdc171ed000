def options_for(p): pass
def measure(*a): pass
def measure_start(*a): pass
def publish(*a): pass
